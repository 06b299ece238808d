// Package kubeapi calls the API of Kubernetes by plain HTTP, with a pod's service account or a kubeconfig.
//
// It owns finding and proving oneself, bounded answers, refusals, watches and repetition. It must not know what the things are that the API
// keeps.
package kubeapi

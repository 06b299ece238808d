// Package monitoring tests what people watch a cluster by: alert rules, dashboards and runbooks, on a real Prometheus.
//
// It owns what each of them must hold. It must not know how anything is measured.
package monitoring

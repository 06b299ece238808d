// Package supply checks what tells where a release comes from: bills of materials, provenance, signatures, and the list of images.
//
// It owns what a stranger can verify without a network. It must not know how the engine works.
package supply

// Package chart checks the Helm chart of charts/taskgrove, and makes the schema and the reference of its values.
//
// It owns what values.yaml says of itself. It must not know what a setting does: package config tells which there are.
package chart

//go:generate go run ./docgen

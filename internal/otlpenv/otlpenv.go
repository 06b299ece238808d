// Package otlpenv reads where a process sends its traces and logs by OTLP, and how.
//
// It owns what OpenTelemetry's variables must hold. It must not know what is sent, or by whom.
package otlpenv

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Signal is what is sent, as the names of variables have it.
type Signal string

// The signals.
const (
	Traces Signal = "TRACES"
	Logs   Signal = "LOGS"
)

// Protocol is how a signal is sent.
type Protocol string

// The protocols.
const (
	None Protocol = "" // it is not sent
	GRPC Protocol = "grpc"
	HTTP Protocol = "http/protobuf"
)

// Of says how a signal is sent, by the variables of OpenTelemetry's specification for exporters. The exporters read the rest of these variables
// themselves, such as headers and certificates, but take no notice of wrong values in these.
func Of(signal Signal) (Protocol, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return None, nil
	}
	name := "OTEL_" + string(signal) + "_EXPORTER"
	switch exporter := cmp.Or(os.Getenv(name), "otlp"); exporter {
	case "otlp":
	case "none":
		return None, nil
	default:
		return None, fmt.Errorf("%s must be otlp or none, not %q", name, exporter)
	}
	sent := false
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + string(signal) + "_ENDPOINT"} {
		endpoint := os.Getenv(name)
		if endpoint == "" {
			continue
		}
		sent = true
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return None, fmt.Errorf("%s must be an http:// or https:// URL", name)
		}
	}
	if !sent {
		return None, nil
	}
	name = "OTEL_EXPORTER_OTLP_" + string(signal) + "_PROTOCOL"
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_PROTOCOL"
	}
	switch protocol := Protocol(cmp.Or(os.Getenv(name), string(GRPC))); protocol {
	case GRPC, HTTP:
		return protocol, nil
	default:
		return None, fmt.Errorf("%s must be grpc or http/protobuf, not %q", name, protocol)
	}
}

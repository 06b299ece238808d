package api

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/coordinator"
)

// NamespaceHeader names the namespace of a request. In gRPC it is the metadata of the same name in lower case.
const NamespaceHeader = "Taskgrove-Namespace"

// NamespaceParameter is the parameter of a URL's query that does the same, for clients that set no headers: browsers with a WebSocket or a stream, and
// whoever is given nothing but a URL.
const NamespaceParameter = "namespace"

// maxNamespace is how long a name may be.
const maxNamespace = 63

// ValidNamespace reports whether a text can be the name of a namespace: 1 to 63 of a-z, 0-9 and -, a letter or digit first and last.
func ValidNamespace(name string) bool {
	if name == "" || len(name) > maxNamespace || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// place is the context's key of the namespace that a request names.
type place struct{}

// InNamespace notes which namespace a request names, in its headers and in the query of its URL. One that names none stays where its credentials lead.
// The error is a fault of what was sent.
func InNamespace(ctx context.Context, headers, parameters []string) (context.Context, error) {
	if len(headers)+len(parameters) == 0 {
		return ctx, nil
	}
	name, err := namedNamespace(headers, parameters)
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, place{}, name), nil
}

func namedNamespace(headers, parameters []string) (string, error) {
	name, named := "", ""
	for _, source := range []struct {
		field  string
		values []string
	}{{NamespaceHeader, headers}, {NamespaceParameter, parameters}} {
		switch {
		case len(source.values) == 0:
			continue
		case len(source.values) > 1:
			return "", InvalidParameter(source.field, source.field+" must not be there twice")
		case !ValidNamespace(source.values[0]):
			return "", InvalidParameter(source.field, fmt.Sprintf("%s must be the name of a namespace: 1 to %d letters a-z, digits and -, a letter or digit first and last; it is %.100q",
				source.field, maxNamespace, source.values[0]))
		case named != "" && source.values[0] != name:
			return "", InvalidParameter(source.field, fmt.Sprintf("%s is %s and %s is %s: a request is made in one namespace", named, name, source.field, source.values[0]))
		}
		name, named = source.values[0], source.field
	}
	return name, nil
}

// namespaceOf is where a caller makes a request: as the request says, else as its credentials do.
func namespaceOf(ctx context.Context, who coordinator.Caller) string {
	if name, ok := ctx.Value(place{}).(string); ok {
		return name
	}
	return who.Namespace
}

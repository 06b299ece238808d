package chart

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/internal/config"
)

// definitions are the parts of the schema that several values use.
func definitions() object {
	text, free := object{"type": "string"}, object{"type": "object"}
	amounts := object{"type": "object", "additionalProperties": object{"type": []string{"string", "number"}}}
	return object{
		"object":       free,
		"objects":      listOf(free),
		"texts":        object{"type": "object", "additionalProperties": text},
		"scalars":      object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}},
		"names":        listOf(object{"type": "string", "minLength": 1}),
		"duration":     object{"type": "string", "pattern": durationPattern},
		"intOrPercent": object{"anyOf": []any{object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": "^[0-9]+%$"}}},
		"env":          listOf(fields([]string{"name"}, object{"name": object{"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"}, "value": text, "valueFrom": free})),
		"image":        fields(nil, object{"repository": text, "tag": text, "digest": object{"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}}),
		"issuer":       fields(nil, object{"name": object{"type": "string", "minLength": 1}, "kind": object{"enum": []string{"Issuer", "ClusterIssuer"}}, "group": text}),
		"resources":    fields(nil, object{"requests": amounts, "limits": amounts, "claims": listOf(free)}),
		"spread":       listOf(object{"type": "object", "required": []string{"topologyKey", "maxSkew", "whenUnsatisfiable"}}),

		"coordinatorSettings": settings(config.Variables((*config.Coordinator)(nil))),
		"workerSettings":      settings(config.Variables((*config.Worker)(nil))),
		"sharedSettings":      settings(shared()),
	}
}

func listOf(items object) object { return object{"type": "array", "items": items} }

func fields(required []string, properties object) object {
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		out["required"] = required
	}
	return out
}

// shared are the settings that coordinators and workers both read.
func shared() []config.Variable {
	workers := config.Variables((*config.Worker)(nil))
	return slices.DeleteFunc(config.Variables((*config.Coordinator)(nil)), func(v config.Variable) bool {
		return !slices.ContainsFunc(workers, func(w config.Variable) bool { return w.Name == v.Name })
	})
}

// charted are the settings that the chart makes of other values. A secret is none of them: it has no place in values.
var charted = regexp.MustCompile(`^(READY_FILE|ENV_FILE|NAME|MIGRATE|WORKER_ID|HTTP_ADDR|GRPC_ADDR|WORKER_HTTP_ADDR|INSECURE_LISTEN|POSTGRES_URL|POSTGRES_PASSWORD_FILE|` +
	`POSTGRES_TLS_.*|NATS_URL|NATS_CREDS_FILE|NATS_NKEY_FILE|NATS_TLS_.*|NATS_REPLICAS|LISTEN_TLS_CERT_FILE|LISTEN_TLS_KEY_FILE|` +
	`LISTEN_TLS_CLIENT_CA_FILE|LISTEN_TLS_CLIENT_AUTH|HTTP_TLS|GRPC_TLS|HTTP_CLIENT_AUTH|GRPC_CLIENT_AUTH|POD_DELETION_COST|JWT_SECRET_FILE|` +
	`JWT_OLD_SECRET_FILE|CALLERS_FILE|SEAL_KEY_FILE|AUDIT_KEY_FILE|POOLS|CONCURRENCY|DRAIN_GRACE|FLUSH_GRACE|SECRETS_DIR|WORKER_FILE|PROXY|NO_PROXY)$`)

func settings(of []config.Variable) object {
	properties := object{}
	for _, v := range of {
		name := strings.TrimPrefix(v.Name, config.Prefix)
		if v.Secret || charted.MatchString(name) {
			continue
		}
		properties[name] = setting(v)
	}
	return fields(nil, properties)
}

const durationPattern = `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`

var (
	bounded = regexp.MustCompile(`^a whole number, (?:from ([0-9]+) to ([0-9]+)|at least ([0-9]+))$`)
	oneOf   = regexp.MustCompile(`^(?:one of )?([A-Za-z0-9.]+(?:, [A-Za-z0-9.]+)*)(?: or ([A-Za-z0-9.]+))?$`)
)

// setting is what a setting takes, as far as its description tells. A process says the rest when it starts.
func setting(v config.Variable) object {
	out := object{"description": "Takes " + v.Takes + "."}
	switch m := bounded.FindStringSubmatch(v.Takes); {
	case m != nil:
		out["type"] = "integer"
		for key, text := range map[string]string{"minimum": m[1] + m[3], "maximum": m[2]} {
			if n, err := strconv.Atoi(text); err == nil {
				out[key] = n
			}
		}
	case strings.HasPrefix(v.Takes, "true or false"):
		out["type"] = "boolean"
	case strings.HasPrefix(v.Takes, "a duration"):
		out["type"], out["pattern"] = "string", durationPattern
	case strings.HasPrefix(v.Takes, "a size"):
		out["type"], out["pattern"], out["minimum"] = []string{"string", "integer"}, `^[0-9]+([KMG]iB|B)?$`, 0
	case strings.Contains(v.Takes, "separated by commas"):
		out["anyOf"] = []any{object{"type": "string"}, listOf(object{"type": "string"})}
	case v.Takes != "text" && oneOf.MatchString(v.Takes):
		m := oneOf.FindStringSubmatch(v.Takes)
		words := strings.Split(m[1], ", ")
		if m[2] != "" {
			words = append(words, m[2])
		}
		out["enum"] = words
	default:
		out["type"] = []string{"string", "number"}
	}
	return out
}

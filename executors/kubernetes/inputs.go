package kubernetes

import (
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	decoding "github.com/taskgrove/taskgrove/executors/inputs"
)

// input is what a task says.
type input struct {
	Image             string            `json:"image"`
	Command           words             `json:"command"`
	Args              words             `json:"args"`
	Namespace         string            `json:"namespace"`
	ServiceAccount    string            `json:"service_account"`
	Env               map[string]scalar `json:"env"`
	EnvSecrets        map[string]string `json:"env_secrets"`
	EnvFromSecrets    []string          `json:"env_from_secrets"`
	EnvFromConfigMaps []string          `json:"env_from_config_maps"`
	Volumes           []volume          `json:"volumes"`
	WorkingDir        string            `json:"working_dir"`
	Resources         resources         `json:"resources"`
	NodeSelector      map[string]string `json:"node_selector"`
	Tolerations       []map[string]any  `json:"tolerations"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	PriorityClass     string            `json:"priority_class"`
	Pull              string            `json:"pull"`
	Timeout           json.Number       `json:"timeout"`
	Remove            *bool             `json:"remove"`
	FailOnError       bool              `json:"fail_on_error"`
}

type volume struct {
	Mount     string `json:"mount"`
	Secret    string `json:"secret"`
	ConfigMap string `json:"config_map"`
	Claim     string `json:"claim"`
	EmptyDir  string `json:"empty_dir"`
	ReadOnly  bool   `json:"read_only"`
}

type resources struct {
	CPU     scalar `json:"cpu"`
	Memory  scalar `json:"memory"`
	Storage scalar `json:"storage"`
	GPU     int    `json:"gpu"`
}

// words is a list of texts. A single text is a list of one: nothing is split, as there is no shell.
type words []string

// UnmarshalJSON implements [json.Unmarshaler].
func (w *words) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil && string(raw) != "null" {
		*w = words{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return &json.UnmarshalTypeError{Value: "value that is neither a text nor a list of texts"}
	}
	*w = list
	return nil
}

// scalar is a text; numbers and booleans become one.
type scalar string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *scalar) UnmarshalJSON(raw []byte) error {
	var text string
	switch {
	case json.Unmarshal(raw, &text) == nil:
		*s = scalar(text)
	case string(raw) == "true", string(raw) == "false", len(raw) > 0 && strings.IndexByte("-0123456789", raw[0]) >= 0:
		*s = scalar(raw)
	default:
		return &json.UnmarshalTypeError{Value: "list or object"}
	}
	return nil
}

// pullPolicies are Kubernetes' words for ours.
var pullPolicies = map[string]string{"": "", "always": "Always", "missing": "IfNotPresent", "never": "Never"}

// parse reads inputs. Errors show no value.
func parse(call *executors.Call) (*input, error) {
	in := &input{}
	if err := decoding.Decode(ID, call, in); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Image) == "" {
		return nil, invalid("image is required in inputs")
	}
	if _, ok := pullPolicies[in.Pull]; !ok {
		return nil, invalid("pull: must be always, missing or never")
	}
	return in, nil
}

package systeminfo

import (
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// Demo implements [executors.Demonstrator] with the facts of a machine that nobody has (spec 3.10, 8.1).
func (*Executor) Demo(call *executors.Call) (any, time.Duration) {
	const takes = 50 * time.Millisecond
	var in struct {
		Resource string `json:"resource"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // what is wrong with inputs is no matter of a demonstration
	all := facts{
		"cpu":    facts{"system": "Linux", "brand": "Demo Processor", "cores": 8},
		"memory": facts{"system": "Linux", "total": "16Gi"},
		"disk":   facts{"total": "500G", "used": "200G", "available": "300G", "used_percent": "40%"},
	}
	if one, ok := all[in.Resource]; ok {
		return one, takes
	}
	return all, takes
}

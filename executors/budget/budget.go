// Package budget keeps tasks that ask models within what they may use: tokens, calls, money and time.
//
// It owns the inputs budget and on_exhausted, the account of one attempt, what becomes of a task whose budget is used up, and the prices
// of models. It must not know how a model is asked.
package budget

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Properties are the inputs budget and on_exhausted, for the properties of an executor's schema.
const Properties = `"budget": {"type": ["object", "null"], "description": "What the task may use at most. Each call of a model is reserved before it is made, with all tokens that it may take. What earlier attempts of this run have used counts, but for their time", "additionalProperties": false, "properties": {
      "tokens": {"type": "integer", "minimum": 1, "description": "Tokens, read and written"},
      "calls": {"type": "integer", "minimum": 1, "description": "Calls of models"},
      "money": {"type": "number", "exclusiveMinimum": 0, "description": "In the currency of the prices that the worker's operator gives; a model without a price is then refused"},
      "seconds": {"type": "number", "exclusiveMinimum": 0, "description": "Time of an attempt; a call that is under way then ends"}}},
    "on_exhausted": {"enum": ["fail", "skip", "partial", null], "default": "fail", "description": "What becomes of the task when its budget is used up. fail: it fails, and is not tried again. skip: it completes with {\"skipped\": true, \"reason\": …}. partial: it completes with what there is, and budget_exhausted says what was used up"}`

// Policy says what becomes of a task whose budget is used up.
type Policy string

// The policies.
const (
	Fail    Policy = "fail"
	Skip    Policy = "skip"
	Partial Policy = "partial"
)

// Limits are what an attempt may use. 0 stands for no limit.
type Limits struct {
	Tokens, Calls int64
	Money         int64 // billionths of the prices' currency
	Time          time.Duration
	On            Policy // empty: [Fail]
}

// nanos are in one unit of a currency.
const nanos = 1e9

// Parse reads the inputs budget and on_exhausted. faults name all that is wrong with them, by field.
func Parse(budget json.RawMessage, on string) (l *Limits, faults []string) {
	l = &Limits{On: Policy(on)}
	switch l.On {
	case "":
		l.On = Fail
	case Fail, Skip, Partial:
	default:
		faults = append(faults, "on_exhausted must be fail, skip or partial")
	}
	if len(budget) == 0 || string(budget) == "null" {
		return l, faults
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(budget, &fields) != nil {
		return l, append(faults, "budget must be an object of tokens, calls, money and seconds")
	}
	for name, raw := range fields {
		value, err := strconv.ParseFloat(string(raw), 64)
		switch whole := name == "tokens" || name == "calls"; {
		case !whole && name != "money" && name != "seconds":
			faults = append(faults, fmt.Sprintf("budget.%.50s is unknown: a budget has tokens, calls, money and seconds", name))
			continue
		case err != nil || !(value > 0) || math.IsInf(value, 0) || whole && value != math.Trunc(value):
			kind := "number"
			if whole {
				kind = "whole number"
			}
			faults = append(faults, fmt.Sprintf("budget.%s must be a %s above 0", name, kind))
			continue
		}
		l.set(name, value)
	}
	slices.Sort(faults)
	return l, faults
}

// most is the largest limit.
const most = 1 << 62

func (l *Limits) set(name string, value float64) {
	switch name {
	case "tokens":
		l.Tokens = int64(min(value, most))
	case "calls":
		l.Calls = int64(min(value, most))
	case "money":
		l.Money = max(1, int64(min(math.Round(value*nanos), most)))
	case "seconds":
		l.Time = max(1, time.Duration(min(value*float64(time.Second), most)))
	}
}

package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// Check says what is wrong with the settings of a resource of the driver. Texts with tokens stand for anything. Without complete, a layer may come that has what is
// missing.
func (d *Driver) Check(p *Part, complete bool) (faults []Fault) {
	decoded, faults := p.DecodePaths()
	for _, path := range decoded {
		value, found := p.Find(path)
		switch text, is := value.(string); {
		case !found && !complete:
		case !found:
			faults = append(faults, Fault{Path: path, Kind: Missing, Reason: "must be there, as it is to be decoded"})
		case !is:
			faults = append(faults, Fault{Path: path, Kind: Wrong, Reason: "must be a text, as it is to be decoded"})
		case !Standalone(text):
			faults = append(faults, notStandalone(path))
		}
	}
	for _, part := range []string{"config", "options"} {
		faults = append(faults, d.walk(part, "", p.part(part))...)
	}
	faults = append(faults, Literals(p, d)...)
	if complete {
		faults = append(faults, d.missing(p)...)
	}
	return faults
}

func notStandalone(path string) Fault {
	return Fault{Path: path, Kind: NotStandalone, Reason: "is to be decoded, and must be a plain text or one token"}
}

// Standalone reports whether a text can be decoded: it has no token, or is one.
func Standalone(text string) bool {
	if !strings.Contains(text, "{{") {
		return true
	}
	parsed, err := dag.ConnectionTemplates().Parse(text)
	return err == nil && len(parsed.Pieces()) == 1
}

// missing are settings that must be there.
func (d *Driver) missing(p *Part) (faults []Fault) {
	for _, one := range d.needs {
		if !slices.ContainsFunc(one, func(path string) bool { return !empty(d.value(p, "config", d.find("config", path))) }) {
			reason := "must be there"
			if len(one) > 1 {
				reason += ", or " + strings.Join(one[1:], ", or ")
			}
			faults = append(faults, Fault{Path: "config." + one[0], Kind: Missing, Reason: reason})
		}
	}
	return faults
}

// empty reports whether a value is none.
func empty(v any) bool { return v == nil || v == "" }

// value is what a part has of a setting, by any of its names; nil: nothing.
func (d *Driver) value(p *Part, part string, k *key) any {
	for _, path := range append([]string{k.path}, k.also...) {
		if v, found := p.Find(part + "." + path); found && !empty(v) {
			return v
		}
	}
	return nil
}

// walk looks at the settings below a path.
func (d *Driver) walk(part, path string, m map[string]any) (faults []Fault) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		full := name
		if path != "" {
			full = path + "." + name
		}
		value, at := m[name], part+"."+full
		below, isObject := value.(map[string]any)
		k := d.find(part, full)
		inner := slices.ContainsFunc(d.keys(part), func(k key) bool {
			return strings.HasPrefix(k.path, full+".") || slices.ContainsFunc(k.also, func(also string) bool { return strings.HasPrefix(also, full+".") })
		})
		switch {
		case k == nil && inner && isObject:
			faults = append(faults, d.walk(part, full, below)...)
		case k == nil && inner && value != nil:
			faults = append(faults, Fault{Path: at, Kind: Wrong, Reason: "must be a map"})
		case k == nil && inner:
		case k == nil:
			faults = append(faults, unknown(at, full, d.names(part)))
		case value == nil:
		default:
			if _, reason := k.form.read(value); reason != "" {
				faults = append(faults, Fault{Path: at, Kind: Wrong, Reason: reason})
			} else if k.fields == nil && !(inner && isObject) {
				faults = append(faults, Fault{Path: at, Kind: Ignored, Reason: "has no effect: workers keep and open connections by themselves"})
			}
		}
	}
	return faults
}

// names are the settings of a part.
func (d *Driver) names(part string) (names []string) {
	for _, k := range d.keys(part) {
		names = append(names, k.path)
	}
	return names
}

// read is a value as its setting wants it, or why it can't be that. What has tokens stays.
func (f form) read(v any) (out any, reason string) {
	text, is := v.(string)
	if is && strings.Contains(text, "{{") {
		return v, ""
	}
	reason = "must be " + formWords[f]
	if is && (f == isInteger || f == isNumber || f == isBoolean) {
		reason += ", or a text that is one"
	}
	switch f {
	case isText:
		if is {
			return text, ""
		}
		if n, number := numberOf(v); number && n == math.Trunc(n) { // a password of digits, or a name
			return nil, reason + ": put it in quotes"
		}
	case isInteger:
		if is {
			v = json.Number(strings.TrimSpace(text))
		}
		if n, ok := numberOf(v); ok && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n), ""
		}
	case isNumber:
		if is {
			v = json.Number(strings.TrimSpace(text))
		}
		if n, ok := numberOf(v); ok {
			return n, ""
		}
	case isBoolean:
		if b, ok := v.(bool); ok {
			return b, ""
		}
		if b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text))); is && err == nil {
			return b, ""
		}
	case isTexts:
		object, ok := v.(map[string]any)
		for _, value := range object {
			if _, isText := value.(string); !isText {
				ok = false
			}
		}
		if ok {
			return object, ""
		}
	case isWords:
		list, ok := v.([]any)
		if ok && !slices.ContainsFunc(list, func(e any) bool { _, isText := e.(string); return !isText }) {
			return list, ""
		}
	case isMap:
		if object, ok := v.(map[string]any); ok {
			return object, ""
		}
	}
	return nil, reason
}

// numberOf is a finite number.
func numberOf(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := strconv.ParseFloat(string(v), 64)
		return n, err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

var (
	secretLeaf = regexp.MustCompile(`(?i)^(.*password|.*passwd|pwd|.*passphrase|(.*[-_])?api[-_]?key|.*private[-_]?key|secret[-_]?access[-_]?key|(.*-)?authorization|(set-)?cookie|.*token|.*secret)$`)
	// inText finds a secret within a text that is called otherwise: its group is the secret.
	inText = []struct {
		*regexp.Regexp
		is string
	}{
		{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.:-]*://[^/@\s:]*:([^/@\s]+)@`), "the URL has a password in it"},
		{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.:-]*://[^/@\s:{]*:([^@\s{/]*[^@\s{/0-9][^@\s{/]*/[^@\s{]*)@`), "the URL has a password in it"},
		{regexp.MustCompile(`^[^\s:/@]+:([^\s@]+)@(?:tcp|unix)\(`), "the text has a password in it"},
		{regexp.MustCompile(`(?i)(?:^|[?&;\s])(?:\w*password|\w*passwd|pwd|\w*passphrase|api[-_]?key|\w*token|\w*secret)\s*=\s*([^&;\s]+)`), "the text has a secret in it"},
		{regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----)`), "the text has a private key in it"},
	}
)

// Literals are secrets that stand in a layer in clear: what is called like a password, and passwords and keys within URLs and other texts. What is decoded is none as it stands. Without a driver,
// what is a secret to any driver is one.
func Literals(p *Part, d *Driver) (faults []Fault) {
	encoded, _ := p.DecodePaths()
	var walk func(part, path, name string, within bool, v any)
	walk = func(part, path, name string, within bool, v any) {
		if slices.Contains(encoded, path) {
			return
		}
		isSecret, told := within || secretLeaf.MatchString(name), false
		if at, below := strings.CutPrefix(path, part+"."); below {
			k := secretKey(d, part, at)
			isSecret, told = isSecret || k, k && d != nil
		}
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(part, path+"."+name, name, isSecret, v[name])
			}
		case []any:
			for i, e := range v {
				walk(part, fmt.Sprintf("%s[%d]", path, i), name, isSecret, e)
			}
		case string:
			if isSecret {
				if clear(v) {
					faults = append(faults, Fault{Path: path, Kind: Literal, Reason: `a secret must not stand here: name it, as "{{env.DB_PASSWORD}}"`})
				}
				return
			}
			for _, in := range inText {
				if m := in.FindStringSubmatch(v); m != nil && clear(m[1]) {
					faults = append(faults, Fault{Path: path, Kind: Literal, Reason: in.is + `: name it, as "{{env.DB_PASSWORD}}"`})
					return
				}
			}
		default:
			if _, is := numberOf(v); is && isSecret && !told { // a driver tells that it is no text
				faults = append(faults, Fault{Path: path, Kind: Literal, Reason: `a secret must not stand here: name it, as "{{env.DB_PASSWORD}}"`})
			}
		}
	}
	for _, part := range []string{"config", "options"} {
		walk(part, part, "", false, p.part(part))
	}
	return faults
}

// secretKey reports whether a setting is a secret to the driver; nil: to any.
func secretKey(d *Driver, part, path string) bool {
	if d != nil {
		k := d.find(part, path)
		return k != nil && k.secret
	}
	return slices.ContainsFunc(drivers, func(one Driver) bool { return secretKey(&one, part, path) })
}

// clear reports whether a text that is a secret has all of it, or a default for it.
func clear(text string) bool {
	if text == "" {
		return false
	}
	parsed, err := dag.ConnectionTemplates().Parse(text)
	if err != nil {
		return !strings.Contains(text, "{{")
	}
	tokens := false
	for _, piece := range parsed.Pieces() {
		if piece.Path == nil {
			continue
		}
		if tokens = true; piece.Default != "" {
			return true
		}
	}
	return !tokens
}

package treedoc

import "github.com/taskgrove/taskgrove/dag"

// unique reads which other tree must not be there. Unlike elsewhere a key that it does not know is a fault.
func (d *decoder) unique(v part) error {
	if v.raw[0] != '{' {
		return wrong("unique", "must be an object")
	}
	u := &dag.Unique{}
	d.task.Unique = u
	given, err := d.fields("unique", v, uniqueKeys, func(name string, v part) (err error) {
		var word string
		switch name {
		case "key":
			if u.Key, err = text("unique.key", v); err != nil {
				u.Key = "?" // one fault is told of it
			}
		case "while":
			if word, err = text("unique.while", v); err == nil && word != "" && word != "running" {
				err = wrong("unique.while", "must be running")
			}
		case "for":
			if u.For, err = period("unique.for", v); err == nil && u.For == 0 {
				err = wrong("unique.for", "must be longer than nothing")
			}
		case "on_conflict":
			if word, err = text("unique.on_conflict", v); err == nil && word != "" && word != "refuse" && word != "return" {
				err = wrong("unique.on_conflict", "must be refuse or return")
			}
			u.Return = word == "return"
		}
		return err
	})
	if err != nil {
		return err
	}
	if !given["key"] {
		u.Key = "?"
		if err := d.note(wrong("unique.key", "is required")); err != nil {
			return err
		}
	}
	if given["while"] && given["for"] {
		return d.note(wrong("unique.for", "not together with while: say until when the key is taken in one way"))
	}
	return nil
}

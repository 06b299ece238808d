package treedoc

import "github.com/taskgrove/taskgrove/dag"

// cache reads by which earlier successes a task may end. Unlike elsewhere a key that it does not know is a fault.
func (d *decoder) cache(v part) error {
	if v.raw[0] != '{' {
		return wrong("cache", "must be an object")
	}
	c := &dag.Cache{}
	d.control().Cache = c
	given, err := d.fields("cache", v, cacheKeys, func(name string, v part) (err error) {
		switch name {
		case "key":
			c.Key, err = text("cache.key", v)
		case "version":
			c.Version, err = text("cache.version", v)
		case "for":
			if c.For, err = period("cache.for", v); err == nil && c.For == 0 {
				err = wrong("cache.for", "must be longer than nothing")
			}
			if err != nil {
				c.For = dag.MaxCacheFor // one fault is told of it
			}
		}
		return err
	})
	if err == nil && !given["for"] {
		c.For = 0
	}
	return err
}

package resource

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// ports are where servers listen if nothing says otherwise, by the type of the connection and by the scheme of a URL.
var ports = map[string]int64{"postgres": 5432, "mysql": 3306, "sqlserver": 1433, "oracle": 1521, "smtp": 587, "sftp": 22, "smb": 445, "http": 80, "https": 443}

// Address is host and port of the server that a resource of the driver goes to, as far as its settings say them in clear; empty: it goes to none, or a secret says where.
func (d *Driver) Address(p *Part) string {
	decoded, _ := p.DecodePaths()
	for _, path := range []string{"url", "base_url", "dsn", "host", "server", "port"} {
		if slices.Contains(decoded, "config."+path) {
			return ""
		}
	}
	text := func(path string) string {
		k := d.find("config", path)
		if k == nil {
			return ""
		}
		found, _ := d.value(p, "config", k).(string)
		return found
	}
	for _, path := range []string{"url", "base_url"} {
		if scheme, rest, is := strings.Cut(text(path), "://"); is {
			scheme, _, _ = strings.Cut(strings.ToLower(scheme), "+")
			if typ := schemes[scheme]; typ != "" {
				scheme = typ
			}
			authority := rest
			if end := strings.IndexAny(rest, "/?#"); end >= 0 {
				authority = rest[:end]
			}
			return hostAndPort(authority[strings.LastIndexByte(authority, '@')+1:], ports[scheme])
		}
	}
	if dsn, _, _ := strings.Cut(text("dsn"), "/"); dsn != "" {
		return hostAndPort(dsn, ports[d.Type])
	}
	for _, path := range []string{"host", "server"} {
		host := text(path)
		if host == "" {
			continue
		}
		port := ports[d.Type]
		if k := d.find("config", "port"); k != nil {
			if given := d.value(p, "config", k); given != nil {
				n, _ := k.form.read(given)
				if port, _ = n.(int64); port == 0 { // a secret says it
					return ""
				}
			}
		}
		if strings.HasPrefix(host, "/") { // a socket of the worker's host
			return ""
		}
		return hostAndPort(net.JoinHostPort(strings.Trim(host, "[]"), strconv.FormatInt(port, 10)), port)
	}
	return ""
}

// hostAndPort is a host, which may have its port, with a port; empty: a secret is part of it, or it is none.
func hostAndPort(text string, port int64) string {
	if text == "" || strings.ContainsAny(text, "{}") {
		return ""
	}
	host, own, err := net.SplitHostPort(text)
	if err != nil {
		host, own = strings.Trim(text, "[]"), strconv.FormatInt(port, 10)
	}
	if host == "" || own == "" || own == "0" {
		return ""
	}
	return net.JoinHostPort(host, own)
}

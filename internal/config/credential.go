package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// PostgresLogin is what a process logs in to the database with, besides what its URL says.
type PostgresLogin struct {
	PasswordFile    string  `envconfig:"POSTGRES_PASSWORD_FILE" desc:"file with the password, instead of the one in the URL; it is read for every connection that is made, so a new password needs no restart"`
	PasswordCommand Command `envconfig:"POSTGRES_PASSWORD_COMMAND" desc:"program that prints the password, such as a token of a cloud's database, run for every connection that is made; it has 10 s, prints at most 64 KiB, and gets no variable that begins with TASKGROVE_"`
	PostgresCA      string  `envconfig:"POSTGRES_TLS_CA_FILE" desc:"PEM file of the authorities whose certificates of Postgres are trusted; unless the URL says sslmode, that is verify-full then: the name is checked, too. The same as sslrootcert in the URL; like the next two it is read for every connection that is made"`
	PostgresCert    string  `envconfig:"POSTGRES_TLS_CERT_FILE" desc:"PEM file of the certificate that this process shows to Postgres; the same as sslcert in the URL"`
	PostgresKey     string  `envconfig:"POSTGRES_TLS_KEY_FILE" desc:"PEM file of its key; the same as sslkey in the URL"`
}

func (p *PostgresLogin) check() (faults []Fault) {
	if p.PasswordFile != "" && len(p.PasswordCommand) > 0 {
		faults = append(faults, Fault{Variable: Prefix + "POSTGRES_PASSWORD_FILE", Value: p.PasswordFile, Takes: "nothing together with " + Prefix + "POSTGRES_PASSWORD_COMMAND"})
	}
	return append(faults, pair("POSTGRES_TLS", p.PostgresCert, p.PostgresKey)...)
}

// given are the settings that are set.
func (p *PostgresLogin) given() []string {
	return set("POSTGRES_PASSWORD_FILE", p.PasswordFile, "POSTGRES_PASSWORD_COMMAND", strings.Join(p.PasswordCommand, " "),
		"POSTGRES_TLS_CA_FILE", p.PostgresCA, "POSTGRES_TLS_CERT_FILE", p.PostgresCert, "POSTGRES_TLS_KEY_FILE", p.PostgresKey)
}

// NATSLogin is what a process logs in to NATS with, besides what its URL says.
type NATSLogin struct {
	NATSPassword string `envconfig:"NATS_PASSWORD_FILE" desc:"file with the password of the user whom every address of the URL names, instead of the one in the URL; it is read for every connection that is made, so a new one needs no restart"`
	CredsFile    string `envconfig:"NATS_CREDS_FILE" desc:"file of credentials (.creds) with a JWT and its seed, instead of user and password; like the next four it is read for every connection, too"`
	NKeyFile     string `envconfig:"NATS_NKEY_FILE" desc:"file with the seed of an NKey, instead of user and password"`
	NATSCA       string `envconfig:"NATS_TLS_CA_FILE" desc:"PEM file of the authorities whose certificates of NATS are trusted, instead of the machine's; it makes TLS a must"`
	NATSCert     string `envconfig:"NATS_TLS_CERT_FILE" desc:"PEM file of the certificate that this process shows to NATS; it makes TLS a must"`
	NATSKey      string `envconfig:"NATS_TLS_KEY_FILE" desc:"PEM file of its key"`
}

func (n *NATSLogin) check() (faults []Fault) {
	if n.CredsFile != "" && n.NKeyFile != "" {
		faults = append(faults, Fault{Variable: Prefix + "NATS_NKEY_FILE", Value: n.NKeyFile, Takes: "nothing together with " + Prefix + "NATS_CREDS_FILE"})
	}
	if n.NATSPassword != "" && n.CredsFile+n.NKeyFile != "" {
		faults = append(faults, Fault{Variable: Prefix + "NATS_PASSWORD_FILE", Value: n.NATSPassword, Takes: "nothing together with " + Prefix + "NATS_CREDS_FILE or " + Prefix + "NATS_NKEY_FILE"})
	}
	return append(faults, pair("NATS_TLS", n.NATSCert, n.NATSKey)...)
}

func (n *NATSLogin) given() []string {
	return set("NATS_PASSWORD_FILE", n.NATSPassword, "NATS_CREDS_FILE", n.CredsFile, "NATS_NKEY_FILE", n.NKeyFile, "NATS_TLS_CA_FILE", n.NATSCA,
		"NATS_TLS_CERT_FILE", n.NATSCert, "NATS_TLS_KEY_FILE", n.NATSKey)
}

// ListenTLS is the TLS of all listeners of a process.
type ListenTLS struct {
	CertFile     string     `envconfig:"LISTEN_TLS_CERT_FILE" desc:"PEM file of the certificate of the listeners, with those of the authorities between after it; with it they speak TLS ([TLS](tls.md)). A change of this and the next two files counts within a second, for new connections"`
	KeyFile      string     `envconfig:"LISTEN_TLS_KEY_FILE" desc:"PEM file of its key"`
	ClientCAFile string     `envconfig:"LISTEN_TLS_CLIENT_CA_FILE" desc:"PEM file of the authorities whose certificates callers may show"`
	ClientAuth   ClientAuth `envconfig:"LISTEN_TLS_CLIENT_AUTH" default:"none" desc:"whether callers show a certificate; optional: one that is shown must be good; required: without one there is no connection, also for /health and /metrics"`
	MinVersion   TLSVersion `envconfig:"LISTEN_TLS_MIN_VERSION" default:"1.2" desc:"lowest version of TLS that is spoken"`
}

func (l *ListenTLS) check() []Fault {
	faults := pair("LISTEN_TLS", l.CertFile, l.KeyFile)
	if l.ClientCAFile != "" && l.CertFile == "" {
		faults = append(faults, Fault{Variable: Prefix + "LISTEN_TLS_CLIENT_CA_FILE", Value: l.ClientCAFile, Takes: "nothing without " + Prefix + "LISTEN_TLS_CERT_FILE"})
	}
	return append(faults, l.checkAuth("LISTEN_TLS_CLIENT_AUTH", l.ClientAuth)...)
}

// checkAuth: callers can't be asked for certificates that nobody knows.
func (l *ListenTLS) checkAuth(name string, auth ClientAuth) []Fault {
	if l.ClientCAFile != "" || auth == "" || auth == "none" {
		return nil
	}
	return []Fault{{Variable: Prefix + name, Value: string(auth), Takes: "none without " + Prefix + "LISTEN_TLS_CLIENT_CA_FILE"}}
}

// pair: a certificate and its key come together.
func pair(name, cert, key string) []Fault {
	switch {
	case cert != "" && key == "":
		return []Fault{{Variable: Prefix + name + "_KEY_FILE", Reason: "not set", Takes: "the key of the certificate in " + Prefix + name + "_CERT_FILE"}}
	case cert == "" && key != "":
		return []Fault{{Variable: Prefix + name + "_CERT_FILE", Reason: "not set", Takes: "the certificate of the key in " + Prefix + name + "_KEY_FILE"}}
	}
	return nil
}

// set are the names whose values are not empty.
func set(namesAndValues ...string) (names []string) {
	for i := 0; i < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			names = append(names, namesAndValues[i])
		}
	}
	return names
}

// checkPrivate: what dev starts itself is logged in to with what dev made.
func (c *Dev) checkPrivate() (faults []Fault) {
	for _, login := range []struct {
		url   string
		given []string
	}{{c.PostgresURL.Reveal(), c.PostgresLogin.given()}, {c.NATSURL.Reveal(), c.NATSLogin.given()}} {
		for _, name := range login.given {
			if login.url == "" {
				server, _, _ := strings.Cut(name, "_")
				faults = append(faults, Fault{Variable: Prefix + name, Takes: "nothing without " + Prefix + server + "_URL: dev logs in to the server that it starts by itself"})
			}
		}
	}
	return faults
}

// ClientAuth says whether callers show certificates: none, optional or required; empty: as another setting says.
type ClientAuth string

func (a *ClientAuth) takes() string { return "none, optional or required" }

// Decode implements envconfig.Decoder.
func (a *ClientAuth) Decode(text string) error {
	*a = ClientAuth(strings.ToLower(strings.TrimSpace(text)))
	if !slices.Contains([]ClientAuth{"none", "optional", "required"}, *a) {
		return errors.New("none of these")
	}
	return nil
}

// TLSVersion is a version of TLS: 1.2 or 1.3.
type TLSVersion string

func (v *TLSVersion) takes() string { return "1.2 or 1.3" }

// Decode implements envconfig.Decoder.
func (v *TLSVersion) Decode(text string) error {
	*v = TLSVersion(strings.TrimSpace(text))
	if !slices.Contains([]TLSVersion{"1.2", "1.3"}, *v) {
		return errors.New("neither of these")
	}
	return nil
}

// Command is a program and its arguments.
type Command []string

func (c *Command) takes() string {
	return `a program and its arguments, separated by spaces, or as a JSON array: ["program","an argument"]; no shell reads it`
}

// Decode implements envconfig.Decoder.
func (c *Command) Decode(text string) error {
	*c = nil
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") {
		*c = strings.Fields(text)
	} else if err := json.Unmarshal([]byte(text), (*[]string)(c)); err != nil {
		return errors.New("not a JSON array of strings")
	}
	if len(*c) == 0 || (*c)[0] == "" {
		return errors.New("there is no program")
	}
	return nil
}

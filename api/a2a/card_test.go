package a2a

import (
	"encoding/json"
	"testing"
)

// The card has what spec 6.1 asks for, in the words of both lines.
func TestCard(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{false, true} {
		raw, err := Config{Version: "1.2.3", Tokens: tokens}.cardFor("http://agent.example:80", "0.0.0.0:7700")
		if err != nil {
			t.Fatal(err)
		}
		var card struct {
			Name, URL, ProtocolVersion, PreferredTransport, Version string
			Capabilities                                            struct{ Streaming, PushNotifications bool }
			DefaultInputModes, DefaultOutputModes                   []string
			SupportsAuthenticatedExtendedCard                       *bool
			Skills                                                  []struct {
				ID, Name, Description string
				Tags, Examples        []string
			}
			SupportedInterfaces []struct{ URL, ProtocolBinding, ProtocolVersion string }
			SecuritySchemes     map[string]map[string]any
			Security            []map[string][]string
		}
		if err := json.Unmarshal(raw, &card); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if card.URL != "http://agent.example:80" || card.ProtocolVersion != "0.3.0" && card.ProtocolVersion != "0.3" || card.PreferredTransport != "JSONRPC" || card.Version != "1.2.3" ||
			!card.Capabilities.Streaming || !card.Capabilities.PushNotifications || card.SupportsAuthenticatedExtendedCard == nil || *card.SupportsAuthenticatedExtendedCard {
			t.Errorf("got %s", raw)
		}
		if len(card.Skills) != 18 || len(card.SupportedInterfaces) != 5 {
			t.Errorf("got %d skills and %d interfaces, want 18 and 5", len(card.Skills), len(card.SupportedInterfaces))
		}
		for _, s := range card.Skills {
			if s.Name == "" || s.Description == "" || len(s.Tags) == 0 || len(s.Examples) != 3 {
				t.Errorf("skill %+v: want a name, a description, tags and three examples", s)
			}
		}
		scheme := card.SecuritySchemes["bearer"]
		if said := scheme["type"] == "http" && len(card.Security) == 1; said != tokens || (len(card.SecuritySchemes) > 0) != tokens {
			t.Errorf("tokens %v: schemes are %v, required %v", tokens, card.SecuritySchemes, card.Security)
		}
	}
}

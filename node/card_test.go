package node

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/api/a2a"
)

// TestAgentCards: the card stands at all paths of spec K15, for everybody, and names the skills of spec 6.1.
func TestAgentCards(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	for _, path := range a2a.CardPaths {
		status, body := s.request(t, "GET", path, "", "")
		var card struct {
			Name, URL, ProtocolVersion string
			Skills                     []struct{ ID string }
		}
		if err := json.Unmarshal([]byte(body), &card); err != nil || status != 200 {
			t.Errorf("%s: got HTTP %d, %v in %.200s", path, status, err, body)
			continue
		}
		var skills []string
		for _, one := range card.Skills {
			skills = append(skills, one.ID)
		}
		if card.Name != "taskgrove" || !slices.Contains(skills, "tasks.execute") || !slices.Contains(skills, "tasks.create") {
			t.Errorf("%s: got %s with the skills %v", path, card.Name, skills)
		}
	}
}

package policy

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPageIsUpToDate(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/access-control.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Into(string(page))
	if err != nil || string(page) != want {
		t.Errorf("docs/access-control.md is not what the table says (%v): go generate ./internal/policy", err)
	}
}

// TestTableIsSound: rules that each line must keep, so that no right gives another one away.
func TestTableIsSound(t *testing.T) {
	t.Parallel()
	seen := map[Permission]bool{}
	read, _ := LineOf(TreesRead)
	for _, line := range Lines {
		if seen[line.Permission] || line.Text == "" || line.Where != InNamespace && line.Where != OverCluster {
			t.Errorf("%s: there twice, without a text, or nowhere", line.Permission)
		}
		seen[line.Permission] = true
		if line.Admin != All {
			t.Errorf("%s: an admin reaches %s, want all", line.Permission, line.Admin)
		}
		for _, role := range Roles {
			reach := line.Of(role.Name)
			if reach != None && reach != Own && reach != All {
				t.Errorf("%s: %s reaches %s, and may reach none, own or all", line.Permission, role.Name, reach)
			}
			if to, is := wider[line.Permission]; is {
				if of, _ := LineOf(to); !reach.Has(of.Of(role.Name)) {
					t.Errorf("%s reaches %s by %s, and only %s by %s, which that gives", role.Name, of.Of(role.Name), to, reach, line.Permission)
				}
			}
			if line.Where == OverCluster && reach == Own {
				t.Errorf("%s: nothing of the cluster is %s's own", line.Permission, role.Name)
			}
			// Whoever may change, copy or attach a webhook to a tree is shown it.
			if showsTrees(line.Permission) && !read.Of(role.Name).Has(reach) {
				t.Errorf("%s reaches %s by %s, and sees only %s", role.Name, reach, line.Permission, read.Of(role.Name))
			}
		}
	}
}

func showsTrees(p Permission) bool {
	return slices.Contains([]Permission{TreesExecute, TreesCancel, TreesUpdate, TreesDelete, TreesCopy, TreesCreate, WebhooksRead, WebhooksWrite, ApprovalsRead, ApprovalsAnswer}, p)
}

func TestReach(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		held      string
		scopes    []Permission
		namespace string
		p         Permission
		want      Whose
	}{
		{"", nil, "default", TreesRead, None},
		{"submitter@default", nil, "default", TreesRead, Own},
		{"submitter@default", nil, "team-a", TreesRead, None},
		{"submitter@*", nil, "team-a", TreesRead, Own},
		{"submitter@default viewer@default", nil, "default", TreesRead, All},
		{"submitter@default viewer@default", nil, "default", TreesCancel, Own},
		{"viewer@team-a submitter@default", nil, "default", TreesRead, Own},
		{"admin@default", nil, "default", TreesDelete, All},
		{"admin@default", nil, "default", ClusterRead, None},
		{"admin@default", nil, "*", BindingsWrite, None},
		{"admin@*", nil, "*", BindingsWrite, All},
		{"admin@*", nil, "default", ClusterRead, All},
		{"admin@*", nil, "default", "trees.novel", None},
		{"admin@*", []Permission{}, "default", TreesRead, None},
		{"admin@*", []Permission{TreesRead}, "default", TreesRead, All},
		{"admin@*", []Permission{TreesRead}, "default", TreesCancel, None},
		{"admin@*", []Permission{"trees.*"}, "default", TreesCancel, All},
		{"admin@*", []Permission{"trees.*"}, "default", WebhooksRead, None},
		{"viewer@default", []Permission{"trees.*"}, "default", TreesCancel, None},
		{"operator@default", nil, "default", SchedulesRun, All},
		{"operator@default", nil, "default", SchedulesWrite, None},
		{"submitter@default", []Permission{SchedulesWrite}, "default", SchedulesRun, Own},
		{"submitter@default", []Permission{SchedulesRun}, "default", SchedulesWrite, None},
		{"viewer@default", []Permission{SchedulesWrite}, "default", SchedulesRun, None},
		{"root@*", nil, "default", TreesRead, None},
	} {
		if got := Reach(holdings(tt.held), tt.scopes, tt.namespace, tt.p); got != tt.want {
			t.Errorf("%q with %q in %s: %s reaches %s, want %s", tt.held, tt.scopes, tt.namespace, tt.p, got, tt.want)
		}
	}
}

// holdings reads words such as "viewer@default". It takes unknown roles, too.
func holdings(text string) (held []Holding) {
	for word := range strings.FieldsSeq(text) {
		role, namespace, _ := strings.Cut(word, "@")
		held = append(held, Holding{role, namespace})
	}
	return held
}

// TestRulesOfAnyHoldings plays random roles and scopes: more roles never reach less, scopes never add, roles of one namespace do nothing in another
// or over the cluster, and nobody can give away what it has not.
func TestRulesOfAnyHoldings(t *testing.T) {
	t.Parallel()
	places := []string{AllNamespaces, "default", "team-a", "team-b"}
	random := rand.New(rand.NewPCG(18, 1))
	some := func(n int) (held []Holding) {
		for range random.IntN(n + 1) {
			held = append(held, Holding{Roles[random.IntN(len(Roles))].Name, places[random.IntN(len(places))]})
		}
		return held
	}
	for range 20_000 {
		held, more := some(4), some(3)
		var scopes []Permission
		if random.IntN(2) == 0 {
			scopes = []Permission{}
			for range random.IntN(6) {
				scopes = append(scopes, Lines[random.IntN(len(Lines))].Permission)
			}
		}
		where := places[random.IntN(len(places))]
		line := Lines[random.IntN(len(Lines))]
		reach := Reach(held, scopes, where, line.Permission)
		if wider := Reach(slices.Concat(held, more), scopes, where, line.Permission); !wider.Has(reach) {
			t.Fatalf("%v and %v reach %s with %s, less than %s of the first alone", held, more, wider, line.Permission, reach)
		}
		if unscoped := Reach(held, nil, where, line.Permission); !unscoped.Has(reach) {
			t.Fatalf("%v with scopes %v reach %s, without them %s", held, scopes, reach, unscoped)
		}
		there := slices.DeleteFunc(slices.Clone(held), func(h Holding) bool {
			return h.Namespace != AllNamespaces && (h.Namespace != where || line.Where == OverCluster)
		})
		if only := Reach(there, scopes, where, line.Permission); only != reach {
			t.Fatalf("%v reach %s in %s with %s, and %s by the roles held there", held, reach, where, line.Permission, only)
		}
		for _, given := range more {
			if !Covers(held, scopes, given) {
				continue
			}
			for _, l := range Lines {
				for _, n := range places {
					if got, had := Reach([]Holding{given}, nil, n, l.Permission), Reach(held, scopes, n, l.Permission); !had.Has(got) {
						t.Fatalf("%v (%v) may give %v, which reaches %s in %s with %s, and they reach %s", held, scopes, given, got, n, l.Permission, had)
					}
				}
			}
		}
	}
}

func TestParseHolding(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"admin@*": "admin@*", "viewer": "viewer@default", "viewer@team-a": "viewer@team-a", "root@*": "", "viewer@": "", "viewer@A": "", "@a": "", "": ""} {
		got, err := ParseHolding(text, "default")
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q", text, got, err, want)
		}
	}
}

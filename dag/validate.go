package dag

// Limits bound what a tree may hold. Zero means [DefaultLimits]'s value.
type Limits struct {
	Tasks        int // tasks in a tree
	Dependencies int // dependencies of one task
	IDBytes      int // id, user id, references
	NameBytes    int
	PayloadBytes int // each of inputs, params, schemas, custom of one task
}

// DefaultLimits are the bounds in force when none are configured.
var DefaultLimits = Limits{Tasks: 1_000_000, Dependencies: 100_000, IDBytes: 255, NameBytes: 255, PayloadBytes: 1 << 20}

// Builder collects a tree task by task, keeping only ids and edges, and validates it (spec 2.1, 2.2).
type Builder struct{ todo int }

// NewBuilder makes an empty one. newID makes an id for each task that has none.
func NewBuilder(limits Limits, newID func() string) *Builder { panic("todo") }

// Add records the next task and returns its index. It keeps nothing of t but its id, name, references and user.
// Field faults are kept for Build; an error is returned only when the tree is beyond its bound of tasks, so that a
// reader can stop early.
func (b *Builder) Add(t *Task) (index int, err error) { panic("todo") }

// Build checks the whole and gives the graph, or an *InvalidTreeError with every fault. Linear in tasks and edges,
// without recursion.
func (b *Builder) Build() (*Graph, error) { panic("todo") }

// Graph is a valid tree, by index of submission. Dependencies and dependents are in compressed rows: those of task i
// are Dep[DepStart[i]:DepStart[i+1]].
type Graph struct {
	IDs      []string // given or made
	UserID   string   // the one owner named, or empty
	Root     int32
	Parent   []int32 // -1 for the root
	Leaf     []bool  // no task names it as parent
	DepStart []int32 // len(IDs)+1
	Dep      []Edge  // in the order given, each task once (a repeated one: the first place, required if any is)
}

// Edge is one dependency of a task.
type Edge struct {
	Task     int32 // index of the dependency
	Required bool
	Type     string // as given; empty: "result"
}

// Dependencies are what task i waits for; the caller must not change them.
func (g *Graph) Dependencies(i int) []Edge { return g.Dep[g.DepStart[i]:g.DepStart[i+1]] }

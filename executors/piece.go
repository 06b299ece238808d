package executors

// PieceKind is what a [Piece] is.
type PieceKind string

// The kinds of pieces.
const (
	PieceToken      PieceKind = "token"       // more text of a model's answer
	PieceToolCall   PieceKind = "tool_call"   // a tool is called: Name is the tool's, Text its arguments, JSON
	PieceToolResult PieceKind = "tool_result" // what it answered, or why it failed; may be cut
	PieceModelCall  PieceKind = "model_call"  // a model is asked: Name is the model's
)

// Piece is something that an attempt tells those who watch it live, in order. Nobody stores it, and what comes faster than it can be
// sent is dropped from the middle.
type Piece struct {
	Kind  PieceKind
	Agent string // who speaks, if there are several; empty: the task
	Name  string // of a tool or a model
	Text  string
}

// Tell passes a piece on. It never blocks.
func (c *Call) Tell(p Piece) {
	if c.Live != nil {
		c.Live(p)
	}
}

package mcp

import (
	"context"
	"slices"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// complete proposes ids of tasks for what a person types into a prompt's argument or a resource's template.
func (h *Handler) complete(ctx context.Context, req *sdk.CompleteRequest) (*sdk.CompleteResult, error) {
	out := &sdk.CompleteResult{Completion: sdk.CompletionResultDetails{Values: []string{}}}
	a, asked, cancel := begun(ctx, req.Extra)
	if a == nil {
		return out, nil
	}
	defer cancel()
	if name := req.Params.Argument.Name; name != "id" && name != "task_id" || len(req.Params.Argument.Value) < 2 {
		return out, nil
	}
	found, err := a.svc.Resolve(asked, req.Params.Argument.Value, "")
	if err != nil { // nothing is proposed where nothing is found
		return out, nil
	}
	for _, m := range found.Tasks {
		out.Completion.Values = append(out.Completion.Values, m.ID)
	}
	out.Completion.HasMore = found.More
	return out, nil
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

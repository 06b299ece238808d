package pg

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// pageBytes is how much of inputs, results and so on a page of a list holds, unless its first task alone has more. With the rest of
// a full page it fits into a gRPC message of the default size, 4 MiB.
const pageBytes = 3 << 20

// listedDeps is with how many dependencies a started task is listed with their results among its inputs.
const listedDeps = 64

// Page is a part of a list.
type Page struct {
	Tasks []*Shown
	More  bool // there may be more after it
}

// Last is the last task of a page, which has one.
func (p *Page) Last() *Shown { return p.Tasks[len(p.Tasks)-1] }

// pageRow is a task of a page.
type pageRow struct {
	Shown
	Found  int64 // tasks that the page would have without the bound in bytes
	Number int64 // the task's place, from 1
	Stored int64 // bytes up to it as they are stored, compressed
	Bytes  int64 // bytes up to it as they are shown
}

// pageOf runs a statement over the view shown, which takes the filter's limit, and cuts its rows off at pageBytes.
func (s *Store) pageOf(ctx context.Context, f Filter, statement string, args ...any) (page Page, err error) {
	if len(f.Own) > 0 && s.seals.on.Load() {
		return page, ErrSealedFilter
	}
	if f.Error != "" && s.seals.on.Load() {
		return page, ErrSealedErrors
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if page, err = s.storedPage(ctx, f, statement, args...); err != nil {
		return page, err
	}
	for _, t := range page.Tasks {
		if err := t.open(ctx, s.seals); err != nil {
			return page, err
		}
	}
	if err := s.addDependencies(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addWaiting(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addExpansions(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addSubtrees(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addRepeats(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addCachedFrom(ctx, page.Tasks); err != nil {
		return page, err
	}
	if err := s.addLimits(ctx, page.Tasks); err != nil {
		return page, err
	}
	if f.AsSubmitted {
		return page, s.addOptions(ctx, page.Tasks)
	}
	return page, s.addShownResults(ctx, page.Tasks, listedDeps)
}

// storedPage is pageOf without what is added to the rows. What is sealed stays so.
func (s *Store) storedPage(ctx context.Context, f Filter, statement string, args ...any) (page Page, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return page, fmt.Errorf("%s: %w", statement, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[pageRow])
	if err != nil {
		return page, fmt.Errorf("%s: %w", statement, err)
	}
	for _, t := range list {
		page.Tasks = append(page.Tasks, &t.Shown)
		page.More = int(t.Found) == f.Limit || int(t.Found) > len(list)
	}
	return page, nil
}

// lists are the statements that [Store.pageOf] runs.
var lists = []string{"TasksUp", "TasksDown", "RootsDown", "RootsOf", "CopiesDown", "Children", "AwaitingOf", "TasksAt"}

// cutOff is a statement of a list whose rows the server cuts off at pageBytes, so that no more is sent. The first cut, by
// stored sizes, reads no values, and bounds what the second one unpacks.
func cutOff(statement string) string {
	return fmt.Sprintf(`with page as materialized (
  select listed.*, p.sealed as sealed_payload, a.sealed as sealed_attempt from (%[1]s) listed
  left join lateral (select sealed from payload where payload.key = listed.key offset 0) p on true
  left join lateral (select sealed from attempt where attempt.task = listed.key and attempt.number = listed.attempt offset 0) a on true
), narrowed as (
  select page.*, count(*) over () as found, row_number() over () as number, sum(%[2]s) over (rows unbounded preceding)::bigint as stored
  from page
), sized as (
  select page.*, sum(%[3]s) over (rows unbounded preceding)::bigint as bytes
  from (select * from narrowed where stored <= %[4]d or number = 1) page
)
select * from sized where bytes <= %[4]d or number = 1`,
		statement, sizeBy("pg_column_size(%s)"), sizeBy("octet_length(%s::text)"), pageBytes)
}

// sizeBy is what a row of page has in values, and in those that are merged into its inputs, by a measure of one value.
func sizeBy(measure string) string {
	of := func(value string) string { return strings.ReplaceAll(measure, "%s", value) }
	sum := "0::bigint"
	for _, column := range []string{"inputs", "params", "schemas", "custom", "result", "labels", "sealed_payload", "sealed_attempt"} {
		sum += " + coalesce(" + of("page."+column) + ", 0)"
	}
	return sum + fmt.Sprintf(` + case when page.started_at is not null and cardinality(page.deps) <= %d then coalesce((
    select sum(coalesce(%s, 0) + coalesce(%s, 0)) from unnest(page.deps) d(i)
    cross join lateral (select key, attempt from task where task.key = ((page.key >> 24) << 24) + abs(d.i) - 1 and state = %d offset 0) dt
    cross join lateral (select result, sealed from attempt where task = dt.key and number = dt.attempt offset 0) a), 0) else 0 end`,
		listedDeps, of("a.result"), of("a.sealed"), dag.Completed)
}

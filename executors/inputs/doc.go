// Package inputs checks an attempt's inputs before its executor is called (spec 3.12).
//
// It owns the check against the executor's schema and against the task's own (schemas.input_schema, in its standard or
// its simplified form), and the texts of violations. It must not know any executor, and it never fetches anything: a
// reference to another document makes a schema unusable.
//
// Formats ("date-time", "email") are notes to people and are not checked, in any draft.
package inputs

// Package inputs checks an attempt's inputs before its executor is called (spec 3.12), and reads them.
//
// It owns the check against the executor's schema and the task's own (schemas.input_schema, in its standard or simplified
// form), and the texts of violations. It must not know any executor, and never fetches anything: a schema that refers to
// another document is unusable.
//
// Formats ("date-time", "email") are not checked, in any draft: they only inform people.
package inputs

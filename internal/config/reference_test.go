package config

import (
	"strings"
	"testing"
)

// documented are the variables of spec 10.
var documented = []string{
	"DATABASE_URL", "DB_PATH", "TASK_TABLE_NAME", "MAX_SESSIONS", "SESSION_TIMEOUT", "API_HOST", "API_PORT", "BASE_URL", "API_PROTOCOL", "JWT_SECRET_KEY", "JWT_ALGORITHM",
	"ENABLE_SYSTEM_ROUTES", "ENABLE_DOCS", "CORS_ORIGINS", "CORS_ALLOW_ALL", "EXTENSIONS", "ENABLE_STDIO", "STDIO_ALLOW_COMMAND", "STDIO_COMMAND_WHITELIST", "DEMO_SLEEP_SCALE",
	"TASK_MODEL_CLASS", "LLM_PROVIDER", "DAEMON_PID_FILE", "DAEMON_LOG_FILE", "PORT", "HOST", "JWT_SECRET", "LLM_MODEL",
}

// TestEveryVariableOfTheReferenceIsKnown: each counts, or has its row in the table.
func TestEveryVariableOfTheReferenceIsKnown(t *testing.T) {
	known, page := knownNames(), Markdown()
	for _, short := range documented {
		_, listed := foreignOf(short)
		if !known[referencePrefix+short] && !listed {
			t.Errorf("%s neither counts nor is in the table", short)
		}
		if name := referencePrefix + short; short != "ENABLE_STDIO" && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("%s is not in the page", name)
		}
	}
}

func TestForeignVariables(t *testing.T) {
	for name, tt := range map[string]struct{ value, warning, fault string }{
		"AIPARTNERUPFLOW_DB_PATH":                  {"/x", "AIPARTNERUPFLOW_DB_PATH has no effect: ", ""},
		"AIPARTNERUPFLOW_ENABLE_CREWAI":            {"1", "AIPARTNERUPFLOW_ENABLE_CREWAI has no effect: ", ""},
		"AIPARTNERUPFLOW_API_PROTOCOL":             {"a2a", "", ""},
		"AIPARTNERUPFLOW_JWT_SECRET_KEY":           {"long enough", "", ""},
		"AIPARTNERUPFLOW_JWT_SECRET":               {"SHOWN", "", "AIPARTNERUPFLOW_JWT_SECRET"},
		"AIPARTNERUPFLOW_JWT_SECRET_KEYS":          {"SHOWN", "", "did you mean AIPARTNERUPFLOW_JWT_SECRET_KEY?"},
		"AIPARTNERUPFLOW_STDIO_COMMAND_WHITELISTS": {"ls", "", "did you mean AIPARTNERUPFLOW_STDIO_COMMAND_WHITELIST?"},
		"AIPARTNERUPFLOW_DATABASE_ULR":             {"SHOWN", "did you mean AIPARTNERUPFLOW_DATABASE_URL?", ""},
		"AIPARTNERUPFLOW_NOVEL_THING":              {"x", "AIPARTNERUPFLOW_NOVEL_THING has no effect: no setting has this name", ""},
		"AIPARTNERUPFLOW_JWT_ALGORITHM":            {"HS256", "nobody is asked who it is", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, tt.value)
			warnings, faults := Foreign()
			warned, fault := strings.Join(warnings, "\n"), faults.Error()
			if (warned == "") != (tt.warning == "") || !strings.Contains(warned, tt.warning) || (fault == "") != (tt.fault == "") || !strings.Contains(fault, tt.fault) {
				t.Errorf("got warnings %q, faults %q", warned, fault)
			}
			if strings.Contains(warned+fault, "SHOWN") {
				t.Errorf("a value is shown: %q, %q", warned, fault)
			}
		})
	}
}

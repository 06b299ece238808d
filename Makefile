# Taskgrove. `make help` lists the targets.

BIN      := bin
TOOLS    := $(CURDIR)/$(BIN)/tools
# What the binary calls itself: the file VERSION and the commit.
COMMIT   := $(shell git describe --always --abbrev=12 --exclude='*' --dirty=.changed 2>/dev/null)
RELEASE  ?= $(shell cat VERSION)$(addprefix +,$(COMMIT))
LDFLAGS  := -s -w -X github.com/taskgrove/taskgrove/node.release=$(RELEASE)
# Everything is built, tested and measured with the toolchain that go.mod names, whichever Go this machine has, or none: then
# tools/need.sh puts it into the directory that the PATH begins with.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)
export PATH := $(TOOLS)/$(GOTOOLCHAIN)/bin:$(PATH)
unexport GOROOT
# Where make install puts the binary, and for what make release builds.
PREFIX    ?= /usr/local
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
FUZZTIME ?= 10s
# Where tools/need.sh puts buf.
BUF      := $(BIN)/buf/bin/buf
# Packages to test, and what else to tell go test: make test PACKAGES=./dag TESTFLAGS='-run TestMerge -v'
# The one that takes longest begins first, so that it is not left alone in the end.
PACKAGES  ?= ./tests/faults ./...
TESTFLAGS ?=
# Packages at once, and parallel tests of each: most of what the tests take is waiting for leases, redeliveries and programs. vet is make lint's.
ATONCE    ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? 4 : n)))
PARALLEL  ?= 6
# A test that fails runs once more, alone: what then passes was too slow for its own limits beside the others. It is named, with what it said, and is to be mended;
# a race is never run again, nor are more than six failures, subtests counted.
GOTEST    := $(TOOLS)/gotestsum --format standard-quiet --hide-summary skipped --rerun-fails=1 --rerun-fails-max-failures 6 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race
# What shares memory between goroutines in ways of its own; the race detector makes a test two or three times as dear.
RACED     ?= ./coordinator ./worker ./queue/... ./node ./client ./api/... ./executors/... ./internal/...

# Every target is a name, not a file; go decides by itself what is up to date.
.PHONY: help build install release test race versions test-llm testfull chaos disasters interop demo showcase agents bench fuzz fmt lint vuln generate generated proto-check proto-release image sizes weigh kubernetes cluster-test check clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the one static binary, bin/taskgrove
	@tools/need.sh go
	@tools/build.sh $(BIN)/taskgrove '$(LDFLAGS)'

install: build ## install the binary in PREFIX/bin (/usr/local/bin)
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(BIN)/taskgrove '$(DESTDIR)$(PREFIX)/bin/taskgrove'

release: ## make the archives of a release and their SHA256SUMS in bin/release
	@tools/need.sh go
	tools/release.sh '$(shell cat VERSION)' '$(LDFLAGS)' $(PLATFORMS)

test: $(TOOLS)/.installed ## run all tests, on real Postgres and NATS servers that they start
	@tools/need.sh go postgres
	$(GOTEST) --packages '$(PACKAGES)' -- -vet=off -p $(ATONCE) -parallel $(PARALLEL) -timeout 20m $(TESTFLAGS)

race: $(TOOLS)/.installed ## run the tests of the packages in RACED with the race detector
	@tools/need.sh go cc postgres
	$(GOTEST) --packages '$(RACED)' -- -race -vet=off -p 2 -parallel $(PARALLEL) -timeout 30m $(TESTFLAGS)

versions: ## build the version before from the history, and run it together with this one
	@tools/need.sh go postgres
	TASKGROVE_VERSIONS=true go test -count=1 -timeout 10m -v -run TestTwoVersionsRunTogether ./tests/versions

# The page: TypeScript and Svelte in web/, built with the packages that web/package-lock.json names, into the files that the binary embeds.
.PHONY: page page-test page-check page-browser page-bench page-shots
web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@tools/need.sh nodejs npm
	cd web && ../tools/again.sh npm ci --silent --no-fund --no-audit

page: web/node_modules/.package-lock.json ## build the page's files, api/page/static, from web/
	cd web && npm run --silent build -- --logLevel warn

page-test: web/node_modules/.package-lock.json ## check the page's types and run the tests of its model
	cd web && npm run --silent check && npm run --silent test

page-check: page page-test ## build and test the page, and fail where the files in the repository are others than its sources make
	@git diff --exit-code --stat -- api/page/static && [ -z "$$(git status --porcelain -- api/page/static)" ] || { echo "api/page/static is not what web/ makes: run make page"; exit 1; }

# Node's own runner: a file at a time, each with a cluster and a browser of its own.
page-browser: page build ## drive the page in Chromium against real clusters: walks, truth, hostile texts, access (PAGETESTS=walks for one of them)
	@tools/need.sh nodejs npm chromium postgres
	cd web && TASKGROVE_BINARY='$(CURDIR)/$(BIN)/taskgrove' node --test --test-concurrency=1 $(PAGETESTS:%=tests/%.mjs)
PAGETESTS ?= walks truth hostile access

page-bench: page build ## measure the page against its budgets on a tree of 100 000 tasks, and print a table
	@tools/need.sh nodejs npm chromium postgres
	cd web && TASKGROVE_BINARY='$(CURDIR)/$(BIN)/taskgrove' node tests/bench.mjs

page-shots: page build ## take pictures of every screen of the page, light and dark, 1440, 900 and 400 px wide, into bin/shots
	@tools/need.sh nodejs npm chromium postgres
	cd web && TASKGROVE_BINARY='$(CURDIR)/$(BIN)/taskgrove' node tests/shots.mjs '$(CURDIR)/$(BIN)/shots'

.PHONY: test-etl
test-etl: ## run the tests of what the build tag etl puts in
	@tools/need.sh go postgres
	go test -tags etl -count=1 -timeout 20m ./executors/sql ./executors/table ./executors/db

test-llm: ## ask the real services of models what the tests ask of the test service, where OPENAI_API_KEY or ANTHROPIC_API_KEY is set
	@tools/need.sh go
	@if [ -n "$$OPENAI_API_KEY$$ANTHROPIC_API_KEY" ]; then \
		TASKGROVE_TEST_LLM=true go test -count=1 -v -run RealServices ./executors/model/modeltest; \
	else \
		echo "skipped: no real service of models was asked, as neither OPENAI_API_KEY nor ANTHROPIC_API_KEY is set"; \
	fi

.PHONY: nats-faults
nats-faults: ## kill, freeze and empty NATS servers of three under load, and print how long dispatch stood still
	@tools/need.sh go postgres
	TASKGROVE_FULL=1 go test -timeout 20m -run NATSServers -v ./tests/faults

testfull: ## run the property test at its full size, 500 random trees, the kill tests with all their rounds, and schedules of 1000 instants while coordinators are killed
	@tools/need.sh go cc postgres
	TASKGROVE_FULL=1 go test -race -timeout 60m -run 'RandomTrees|Killed|ThousandInstants' -v ./tests/faults

chaos: ## play histories of a real cluster under faults and check each (CHAOSFLAGS='-histories 500 -clusters 4'; -help lists the flags)
	@tools/need.sh go postgres
	go run ./tests/chaos $(CHAOSFLAGS)

# The protocol's first server, and the versions with which it starts.
INTEROP := 'aipartnerupflow[a2a]==0.9.0' 'a2a-sdk[http-server]==0.3.22' 'sqlalchemy[asyncio]<2.1' 'duckdb<1.5' 'fastapi<0.125' 'starlette<0.51' \
	'pydantic<2.13' 'mcp<2'

# What the reference's own tests need besides.
INTEROPTESTS := pytest pytest-asyncio aiosqlite

# The SDKs that tell whether executors/model/modeltest speaks the wire formats of models as their services do.
SDKS := openai==3.57.0 anthropic==2.14.0

# The SDKs of the Model Context Protocol whose servers mcp_executor is tested against and whose clients use ours, besides the two lines of Python's.
MCP1 := @modelcontextprotocol/sdk@1.32.2
MCP2 := @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/node@2.1.2 @modelcontextprotocol/client@2.4.0 zod@4

# The SDKs of A2A in both versions: Python's, then JavaScript's.
A2A := 1:1.3.0:1.3.0 03:0.3.26:0.3.14

interop: ## call the protocol's first server with apflow_api_executor, the test service of models with the official SDKs, servers of the MCP SDKs with mcp_executor, /mcp with their clients, A2A with the SDKs of both its versions, webhooks with the library of Standard Webhooks, filled workbooks with openpyxl, signing in at an OpenID provider, and our gRPC with grpcurl and the clients of Connect (Python and npm packages, installed in bin)
	@tools/need.sh go python3 nodejs npm
	test -x $(BIN)/interop/bin/aipartnerupflow-server || { python3 -m venv $(BIN)/interop && $(BIN)/interop/bin/pip install -q $(INTEROP); }
	TASKGROVE_INTEROP='$(CURDIR)/$(BIN)/interop/bin/aipartnerupflow-server' go test -count=1 -run Python ./executors/apflow
	test -e $(BIN)/interop/bin/pytest || $(BIN)/interop/bin/pip install -q $(INTEROPTESTS)
	test -d $(BIN)/interop/aipartnerupflow-0.9.0 || { $(BIN)/interop/bin/pip download -q --no-deps --no-binary :all: -d $(BIN)/interop aipartnerupflow==0.9.0 && \
		tar -C $(BIN)/interop -xf $(BIN)/interop/aipartnerupflow-0.9.0.tar.gz; }
	TASKGROVE_REFERENCE='$(CURDIR)/$(BIN)/interop' go test -count=1 -v -run References ./tests/reference
	test -x $(BIN)/sdks/bin/python || { python3 -m venv $(BIN)/sdks && $(BIN)/sdks/bin/pip install -q $(SDKS); }
	TASKGROVE_SDKS='$(CURDIR)/$(BIN)/sdks/bin/python' go test -count=1 -run SDKs ./executors/model/modeltest
	set -e; for line in 1:'mcp<2' 2:'mcp>=2,<3'; do env=$(BIN)/interop/mcp/py$${line%%:*}; \
		test -x $$env/bin/python || { python3 -m venv $$env && $$env/bin/pip install -q "$${line#*:}"; }; done
	cd $(BIN)/interop/mcp && mkdir -p js1 js2 && { test -d js1/node_modules || npm install --silent --no-fund --no-audit --prefix js1 $(MCP1); } && \
		{ test -d js2/node_modules || npm install --silent --no-fund --no-audit --prefix js2 $(MCP2); }
	mkdir -p $(BIN)/interop/grpc/connect && cp examples/connect-node/* $(BIN)/interop/grpc/connect && npm ci --silent --no-fund --no-audit --prefix $(BIN)/interop/grpc/connect
	go build -modfile=tools/grpcurl.mod -o $(BIN)/interop/grpc/grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl
	TASKGROVE_INTEROP_GRPC='$(CURDIR)/$(BIN)/interop/grpc' go test -count=1 -run InteropGRPC ./examples
	TASKGROVE_INTEROP_MCP='$(CURDIR)/$(BIN)/interop/mcp' go test -count=1 -run Interop ./executors/mcp ./api/mcp
	set -e; mkdir -p $(BIN)/interop/a2a; cd $(BIN)/interop/a2a; for line in $(A2A); do name=$${line%%:*}; both=$${line#*:}; \
		test -x py$$name/bin/python || { python3 -m venv py$$name && py$$name/bin/pip install -q "a2a-sdk[http-server,grpc]==$${both%:*}" httpx; }; \
		test -d js$$name/node_modules || { mkdir -p js$$name && npm install --silent --no-fund --no-audit --prefix js$$name "@a2a-js/sdk@$${both#*:}"; }; done
	TASKGROVE_INTEROP_A2A='$(CURDIR)/$(BIN)/interop/a2a' go test -count=1 -run Interop ./api/a2a
	test -x $(BIN)/interop/webhooks/bin/python || { python3 -m venv $(BIN)/interop/webhooks && $(BIN)/interop/webhooks/bin/pip install -q standardwebhooks==1.0.1; }
	test -d $(BIN)/interop/oidc/node_modules || { mkdir -p $(BIN)/interop/oidc && npm install --silent --no-fund --no-audit --prefix $(BIN)/interop/oidc oidc-provider@9.13.3; }
	TASKGROVE_INTEROP_OIDC='$(CURDIR)/$(BIN)/interop/oidc' go test -count=1 -run Interop ./tests/hostile
	test -x $(BIN)/interop/excel/bin/python || { python3 -m venv $(BIN)/interop/excel && $(BIN)/interop/excel/bin/pip install -q openpyxl==3.1.5; }
	TASKGROVE_INTEROP_OPENPYXL='$(CURDIR)/$(BIN)/interop/excel/bin/python' go test -count=1 -run Interop ./executors/excel/fill
	TASKGROVE_INTEROP_WEBHOOKS='$(CURDIR)/$(BIN)/interop/webhooks/bin/python' go test -count=1 -run Interop ./coordinator

cancels: ## cancel 1000 tasks and trees of real executors at random moments, and look for what is left (CANCELSFLAGS='-cancels 5000 -seed 1')
	@tools/need.sh go postgres sshd python3 uv docker
	TASKGROVE_FULL=1 go test -timeout 60m -run RandomCancels -v ./tests/cancels $(CANCELSFLAGS)

disasters: ## lose Postgres under load in every way: replicas promoted, old primaries that return, backups restored; print what was lost and how long it took
	@tools/need.sh go postgres
	TASKGROVE_FULL=1 go test -count=1 -timeout 30m -v ./tests/disasters

demo: build ## run a real task tree on a cluster of this machine and show its result
	@tools/need.sh postgres
	examples/demo.sh

showcase: build ## run one tree with eleven executors on services of this machine
	@tools/need.sh postgres python3
	go run ./examples/showcase

agents: build ## run a tree of a command, a model and two agents, whose models are scripts
	@tools/need.sh postgres
	examples/agents/run.sh

bench: ## measure throughput and latency; writes docs/performance.md (BENCHFLAGS='-help' lists the flags)
	@tools/need.sh go postgres
	go run ./tests/bench $(BENCHFLAGS)

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@tools/need.sh go
	@git grep -noE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sort | while IFS=: read -r file _ func; do \
		echo "$$(dirname $$file) $${func#func }"; \
		go test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "./$$(dirname $$file)" || exit 1; \
	done

fmt: ## format the Go files
	@tools/need.sh go
	"$$(go env GOROOT)/bin/gofmt" -w $$(git ls-files --cached --others --exclude-standard '*.go')

lint: $(TOOLS)/.installed ## check format, go vet, staticcheck
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		test -z "$$unformatted" || { echo "not formatted (make fmt does it):" $$unformatted; exit 1; }
	go vet ./...
	go vet -tags etl ./executors/sql ./executors/table ./executors/db ./executors/builtin
	go vet -C tools ./...
	$(TOOLS)/staticcheck ./...

vuln: $(TOOLS)/.installed ## fail when the product calls what is known to be vulnerable
	@tools/vuln.sh

generate: $(TOOLS)/.installed ## generate code, documents and NOTICE again
	@tools/need.sh protoc
	PATH="$(TOOLS):$$PATH" proto/generate.sh
	go generate ./...
	go run -C tools ./notice -dir .. -out ../NOTICE

generated: ## fail when a generated file is not what its generator makes
	@tools/generated.sh

proto-check: ## check the style of the contracts, and that they are compatible with those of the last release
	@tools/need.sh buf
	$(BUF) lint proto
	$(BUF) breaking proto --against proto/released.binpb

proto-release: ## note the contracts as those of the release that VERSION names, in the commit that raises it
	@tools/need.sh buf
	$(BUF) build proto --as-file-descriptor-set --exclude-source-info -o proto/released.binpb

# The files of the image are made here, so that what was compiled before is compiled no more; docker build . alone makes the same image.
IMAGE      ?= taskgrove
IMAGEARCH  ?= $(shell go env GOARCH)
IMAGEFLAGS ?=
EPOCH      := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DOCKERFROM := --build-arg PREBUILT=$(IMAGEARCH) --build-arg VERSION=$(shell cat VERSION) --build-arg COMMIT=$(COMMIT) --build-arg SOURCE_DATE_EPOCH=$(EPOCH)

# What is built: taskgrove becomes the image IMAGE:IMAGETAG, anything else IMAGE-TARGET:IMAGETAG.
IMAGETAG     ?= $(shell cat VERSION)
IMAGETARGETS ?= taskgrove worker-tools

image: ## build the images taskgrove:VERSION and taskgrove-worker-tools:VERSION with Docker (IMAGEFLAGS: more of docker build)
	@tools/need.sh go docker
	rm -rf $(BIN)/image/$(IMAGEARCH)
	TARGETOS=linux TARGETARCH=$(IMAGEARCH) COMMIT=$(COMMIT) SOURCE_DATE_EPOCH=$(EPOCH) tools/rootfs.sh $(BIN)/image/$(IMAGEARCH)
	set -e; for target in $(IMAGETARGETS); do \
		name='$(IMAGE)'; test $$target = taskgrove || name="$$name-$$target"; \
		DOCKER_BUILDKIT=1 docker build $(DOCKERFROM) $(IMAGEFLAGS) --target $$target -t "$$name:$(IMAGETAG)" .; \
	done

.PHONY: image-etl
image-etl: ## build the image taskgrove-worker-etl:VERSION with Docker: taskgrove with what the build tag etl puts in
	@tools/need.sh go docker
	rm -rf $(BIN)/image/$(IMAGEARCH)-etl
	TAGS=etl TARGETOS=linux TARGETARCH=$(IMAGEARCH) COMMIT=$(COMMIT) SOURCE_DATE_EPOCH=$(EPOCH) tools/rootfs.sh $(BIN)/image/$(IMAGEARCH)-etl
	DOCKER_BUILDKIT=1 docker build $(DOCKERFROM) --build-arg PREBUILT=$(IMAGEARCH)-etl --build-arg TITLE=taskgrove-worker-etl $(IMAGEFLAGS) -t "$(IMAGE)-worker-etl:$(IMAGETAG)" .

.PHONY: compose-test
compose-test: ## bring compose.yaml up, run its tree and kill one container after the other, where docker compose is installed
	@if docker compose version >/dev/null 2>&1; then \
		if [ -x '$(CLUSTER_SCRIPTS)/images-up' ]; then '$(CLUSTER_SCRIPTS)/images-up' compose.yaml deploy/compose/proxy/Dockerfile; fi && \
		$(MAKE) --no-print-directory image IMAGE=taskgrove-compose-test IMAGETAG=test IMAGEFLAGS='--build-arg GO_IMAGE=debian:bookworm-slim --build-arg UV_VERSION=none' && \
		docker build -q -t taskgrove-compose-test-proxy:test deploy/compose/proxy && \
		TASKGROVE_COMPOSE=true TASKGROVE_IMAGE=taskgrove-compose-test:test TASKGROVE_TOOLS_IMAGE=taskgrove-compose-test-worker-tools:test \
			TASKGROVE_PROXY_IMAGE=taskgrove-compose-test-proxy:test go test -count=1 -v -timeout 30m $(TESTFLAGS) ./tests/compose; \
	else \
		echo "skipped: docker compose is not installed, so compose.yaml was not brought up"; \
	fi

sizes: ## count packages, long files and long functions (SIZESFLAGS=-list names them)
	@tools/need.sh go
	@go run -C tools ./sizes -dir .. $(SIZESFLAGS)

weigh: ## build without each part that a build tag leaves out, and print the sizes of the binaries
	@tools/need.sh go
	@tools/weigh.sh '$(LDFLAGS)'

# Where the programs of a cluster were built, one is meant to run, and tests that find none fail.
kubernetes: ## run the tests of kubernetes_executor, with the race detector, on the cluster of this machine
	@tools/need.sh go cc
	@if [ -s "$${CLUSTER_HOME:-/tmp/cluster}/cache/built-kubernetes" ] || [ -n "$$KUBECONFIG" ]; then \
		TASKGROVE_KUBERNETES=true go test -race -count=1 -timeout 10m $(TESTFLAGS) ./executors/kubernetes/...; \
	else \
		echo "skipped: there is no Kubernetes cluster on this machine (CLUSTER_HOME, which has cache/built-kubernetes, or KUBECONFIG)"; \
	fi

# What a cluster is: the scripts of a folder beside this repository, or another cluster's kubectl, helm and CLUSTERFLAGS.
CLUSTER_SCRIPTS ?= $(CURDIR)/../shared/cluster
cluster-test: ## install the chart on the Kubernetes cluster of this machine, run 100 000 tasks while pods and a node die and the release is upgraded, and check them (CLUSTERFLAGS='-trees 10')
	@tools/need.sh go
	@if [ -s "$${CLUSTER_HOME:-/tmp/cluster}/cache/built-kubernetes" ]; then \
		. '$(CLUSTER_SCRIPTS)/env.sh'; export CLUSTER_SCRIPTS='$(CLUSTER_SCRIPTS)'; go run ./tests/kubernetes -tag "$$(cat VERSION)-test" -load '$(CLUSTER_SCRIPTS)/k8s-load' \
			-node-down 'tests/kubernetes/node.sh down 2' -node-up 'tests/kubernetes/node.sh up 2' $(CLUSTERFLAGS); \
	else \
		echo "skipped: there is no Kubernetes cluster on this machine (CLUSTER_HOME, which has cache/built-kubernetes)"; \
	fi

.PHONY: chart-test
chart-test: ## check the chart: lint, unit tests, schemas of Kubernetes, wrong values, and what a cluster accepts, as far as their programs are there
	@tools/need.sh go
	go test -count=1 -v ./tests/chart

check: lint vuln generated proto-check ## all that CI checks except the tests

clean: ## remove what was built
	rm -rf $(BIN)

# The programs that tools/go.mod pins. A checker reads only what its own toolchain or an older one has compiled.
$(TOOLS)/.installed: go.mod tools/go.mod tools/go.sum
	@tools/need.sh go
	GOBIN=$(TOOLS) tools/again.sh go install -modfile=tools/go.mod tool
	@touch $@

# Each target is one line into the tool that does it. ARGS goes through to pytest: make test ARGS="-k contract"
.DEFAULT_GOAL := help
.PHONY: help .venv serve up taxi cluster down env images browser postgres kafka test test-fast prove-cluster prove-rollout prove-batch prove-stream prove-right bench bench-batch bench-stream lint format lock clean
bin := .venv/bin

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv:
	@tools/venv

serve: .venv ## Train the churn example if need be and serve it, with its page and its API
	@$(bin)/python examples/churn/train.py --if-missing && $(bin)/trifold serve churn@champion

up: .venv ## A cluster with MLflow, PostgreSQL and a gateway, and churn deployed in it
	@tools/up

taxi: .venv ## On top of `make up`: three models that score the events of cabs
	@tools/taxi

cluster: .venv ## Make a Kubernetes cluster, or find it again (k8s/kind/README.md)
	@$(bin)/python -m k8s.kind up

down: .venv ## Take the cluster down, and nothing else
	@$(bin)/python -m k8s.kind down

env: .venv ## Print what a shell needs for trifold and the cluster: eval "$$(make -s env)"
	@$(bin)/python -m k8s.kind env && echo 'export PATH="$(CURDIR)/$(bin):$$PATH"'

images: .venv ## Build the images of k8s/images
	@$(bin)/python -m k8s.kind build

browser: .venv ## Find Chromium and axe-core for the tests of the page, or install them
	@tools/browser

postgres: ## Find PostgreSQL's server for the tests of batch jobs, or install it
	@tools/postgres

kafka: ## Find Kafka's jars and Java for the tests of streams, or install them
	@tools/kafka

test: cluster browser postgres kafka ## Run every test, in parallel and in random order
	@$(bin)/python -m pytest -n auto --dist loadfile $(ARGS)

test-fast: browser postgres kafka ## Run the tests that are not marked slow or cluster
	@$(bin)/python -m pytest -n auto --dist loadfile -m "not slow and not cluster" $(ARGS)

prove-cluster: .venv ## Kill the making of a cluster at every stage and see it end well (20 minutes)
	@$(bin)/python tests/cluster/prove.py

prove-rollout: cluster ## Roll out 20 times and kill 40 pods under load, and count what fails (25 minutes)
	@TRIFOLD_PROVE=1 $(bin)/python -m pytest tests/cluster/test_rollout.py -s -p no:randomly $(ARGS)

prove-batch: .venv postgres ## Kill batch runs 200 times, start them twice, crash their database (15 minutes)
	@TRIFOLD_PROVE=1 $(bin)/python -m pytest tests/trifold/test_batch_kills.py tests/trifold/test_batch_files_kills.py -s -p no:randomly $(ARGS)

prove-stream: .venv postgres kafka ## Kill consumers 100 times, restart broker and database, while three models score 200,000 events (25 minutes)
	@TRIFOLD_PROVE=1 $(bin)/python -m pytest tests/trifold/test_stream_kills.py -s -p no:randomly $(ARGS)

prove-right: .venv ## Ask 5,000 generated models directly and through every door, and count what is wrong (30 minutes)
	@TRIFOLD_PROVE=1 $(bin)/python -m pytest tests/right/test_right.py -k five_thousand -s -p no:randomly $(ARGS)

bench: .venv ## Measure requests a second beside the peers (benchmarks/README.md)
	@$(bin)/python benchmarks/online.py $(ARGS)

bench-batch: .venv ## Measure rows a second of a batch job beside the peers (benchmarks/README.md)
	@$(bin)/python benchmarks/batch.py $(ARGS)

bench-stream: .venv postgres kafka ## Measure events a second of a stream beside the peers (benchmarks/README.md)
	@$(bin)/python benchmarks/stream.py $(ARGS)

lint: .venv ## Check style (ruff) and types (mypy)
	@$(bin)/ruff check . && $(bin)/ruff format --check . && $(bin)/mypy

format: .venv ## Sort imports, mend what ruff can mend, format
	@$(bin)/ruff check --fix . && $(bin)/ruff format .

lock: ## Resolve requirements/dev.lock anew, with hashes (tools/lock --upgrade takes newer versions)
	@tools/lock

clean: .venv ## Take the cluster down, remove .venv and every cache; .trifold/ with its models stays
	@$(bin)/python -m k8s.kind clean
	@rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist && find . -name __pycache__ -prune -exec rm -rf {} +

"""What the CronJobs of a release run: score one shard of one slot. See trifold/batch/score.py, and --help."""

import sys

from trifold.batch.score import main

if __name__ == "__main__":
    sys.exit(main())

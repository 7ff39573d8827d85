"""What the tests share.

* `environment`: which servers the environment names; nothing else of it reaches a test.
* `eventually`: the one loop that waits for a real process.
* `processes`: looking at processes from outside.
* `brokers`: the Redis of a test run, and the keys of one test in it.
* `databases`: the databases of a test run: one template, one clone per test.
"""

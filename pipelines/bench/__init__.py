"""`forecaster bench`: public data under the protocols of published tables, our figures beside theirs."""

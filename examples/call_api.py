"""Ask a running service for its newest forecast: `python examples/call_api.py [SYMBOL [URL]]`."""

import os
import sys

import pandas as pd
import requests


def main(symbol: str = "^GSPC", url: str = "http://127.0.0.1:8000") -> None:
    key = os.environ.get("FORECASTER_KEY")  # needed where the service runs with FORECASTER_REQUIRE_KEY
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = requests.get(f"{url}/v1/forecasts/{symbol}", headers=headers, timeout=10)
    if not answer.ok:  # a problem of RFC 9457: what happened, and what to do
        problem = answer.json()
        sys.exit(f"{problem['status']} {problem['title']}: {problem.get('detail', '')}")

    forecast = answer.json()
    steps = forecast["steps"]
    prices = pd.DataFrame(
        [step["price_quantiles"] for step in steps],
        index=[step["session"] for step in steps],
        columns=forecast["levels"],
    )
    print(f"{forecast['symbol']} from {forecast['origin']}, issued: {forecast['issued']}, stale: {forecast['stale']}")
    print(prices[[0.1, 0.5, 0.9]].round(2))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""FastStream's handler: each event asked of the same model, a row of its own in PostgreSQL; at least once."""

import asyncio
import os

import joblib
import pandas as pd
import psycopg
from faststream import FastStream
from faststream.confluent import KafkaBroker

columns = os.environ["COLUMNS"].split(",")
model = joblib.load(os.environ["MODEL"])
broker = KafkaBroker(os.environ["BROKER"])
connection = psycopg.connect(os.environ["URI"], autocommit=True)
connection.execute("CREATE TABLE IF NOT EXISTS scored_fast (number bigint PRIMARY KEY, prediction float8)")


@broker.subscriber(os.environ["TOPIC"], group_id=os.environ["OUTPUT"], auto_offset_reset="earliest")
async def score(event: dict) -> None:
    """Score one event."""
    prediction = float(model.predict(pd.DataFrame([event], columns=columns))[0])
    connection.execute("INSERT INTO scored_fast VALUES (%s, %s) ON CONFLICT DO NOTHING", (event["number"], prediction))


asyncio.run(FastStream(broker).run())

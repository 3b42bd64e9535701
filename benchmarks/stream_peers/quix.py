"""Quix Streams with processing_guarantee="exactly-once": each event asked of the same model, into a topic."""

import os

import joblib
import pandas as pd
from quixstreams import Application

columns = os.environ["COLUMNS"].split(",")
model = joblib.load(os.environ["MODEL"])
application = Application(
    broker_address=os.environ["BROKER"],
    consumer_group=os.environ["OUTPUT"],
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_every=5000,
    loglevel="WARNING",
)
source = application.topic(os.environ["TOPIC"], value_deserializer="json")
target = application.topic(os.environ["OUTPUT"], value_serializer="json")
frame = application.dataframe(source)
frame = frame.apply(lambda event: {"prediction": float(model.predict(pd.DataFrame([event], columns=columns))[0])})
frame.to_topic(target)
application.run()

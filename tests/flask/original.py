"""The user model of the Flask original, with the columns and methods that its description names, and a
database of its users: usage: original.py FILE"""

import base64
import os
import sys
from datetime import datetime, timedelta, timezone

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import check_password_hash, generate_password_hash

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.path.abspath(sys.argv[1])
db = SQLAlchemy(app)


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    username = db.Column(db.String(64), index=True, unique=True)
    email = db.Column(db.String(120), index=True, unique=True)
    password_hash = db.Column(db.String(256))
    about_me = db.Column(db.String(140))
    last_seen = db.Column(db.DateTime)
    token = db.Column(db.String(32), index=True, unique=True)
    token_expiration = db.Column(db.DateTime)

    def set_password(self, password, method="scrypt"):
        self.password_hash = generate_password_hash(password, method=method)

    def check_password(self, password):
        return check_password_hash(self.password_hash, password)

    def get_token(self, expires_in=3600):
        self.token = base64.b64encode(os.urandom(24)).decode("utf-8")
        self.token_expiration = datetime.now(timezone.utc) + timedelta(seconds=expires_in)
        return self.token


def add(username, password, method="scrypt"):
    user = User(username=username, email=f"{username}@example.org".replace(" ", "."))
    if password:
        user.set_password(password, method)
        assert user.check_password(password)
    db.session.add(user)
    return user


with app.app_context():
    db.create_all()
    add("susan", "cat and dog").get_token()
    add("david", "a long enough password", "pbkdf2:sha256:1000")
    add("Zoë", "cre\u0300me bru\u0302le\u0301e", "scrypt:1024:8:1")
    # What it allows and Symbolon does not; and one who signs in elsewhere, without a password here.
    add("two words", "a long enough password")
    add("guest", None)
    db.session.commit()

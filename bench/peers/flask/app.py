"""The Flask original: Flask-HTTPAuth, Flask-SQLAlchemy, and the token in two columns of the user."""

import base64, os
from datetime import datetime, timedelta, timezone

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask import Flask
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.environ["DATABASE"]
db = SQLAlchemy(app)
basic_auth, token_auth = HTTPBasicAuth(), HTTPTokenAuth()
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def now():
    return datetime.now(timezone.utc).replace(tzinfo=None)


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    username = db.Column(db.String(64), index=True, unique=True)
    email = db.Column(db.String(120), index=True, unique=True)
    password_hash = db.Column(db.String(128))
    token = db.Column(db.String(32), index=True, unique=True)
    token_expiration = db.Column(db.DateTime)


def user_by(column, value):
    return db.session.scalar(db.select(User).where(column == value))


@basic_auth.verify_password
def verify_password(username, password):
    user = user_by(User.username, username)
    try:
        return user if user and hasher.verify(user.password_hash, password) else None
    except VerifyMismatchError:
        return None


@token_auth.verify_token
def verify_token(token):
    user = user_by(User.token, token)
    return user if user and user.token_expiration > now() else None


@app.post("/tokens")
@basic_auth.login_required
def create_token():
    user = basic_auth.current_user()
    if user.token is None or user.token_expiration <= now() + timedelta(seconds=60):
        user.token = base64.b64encode(os.urandom(24)).decode()
        user.token_expiration = now() + timedelta(seconds=3600)
        db.session.commit()
    return {"token": user.token}


@app.get("/me")
@token_auth.login_required
def me():
    user = token_auth.current_user()
    return {"id": user.id, "username": user.username}

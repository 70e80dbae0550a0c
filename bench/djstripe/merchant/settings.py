"""Django with dj-stripe and nothing else: what its documentation asks for, set for speed."""

import os
from urllib.parse import urlsplit

database = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.path.lstrip("/"),
        "USER": database.username,
        "PASSWORD": database.password,
        "HOST": database.hostname,
        "PORT": database.port,
        "CONN_MAX_AGE": None,
    }
}
SECRET_KEY = "for this race only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "merchant.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "djstripe"]
MIDDLEWARE = []
# Tables straight from the models: the same ones, without the minutes of their history.
MIGRATION_MODULES = dict.fromkeys(("contenttypes", "auth", "djstripe"))
SILENCED_SYSTEM_CHECKS = ["djstripe.W002"]  # another API than Stripe's is meant here

STRIPE_API_HOST = os.environ["STRIPE_API_URL"]
STRIPE_LIVE_MODE = False
STRIPE_TEST_SECRET_KEY = "sk_test_" + "0123456789abcdefghijklmn"
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"

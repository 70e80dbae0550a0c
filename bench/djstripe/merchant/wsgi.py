"""The application for gunicorn. With WITHOUT_FETCH the object that dj-stripe fetches again for each
event costs nothing: it is made here, of the same words.
"""

import json
import os

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

if os.environ.get("WITHOUT_FETCH"):
    import stripe
    from djstripe.models import PaymentIntent

    TEXT = os.environ["WITHOUT_FETCH"]

    def fetched(self: PaymentIntent, *_: object, **__: object) -> object:
        value = json.loads(TEXT)
        return stripe.PaymentIntent.construct_from({**value, "id": self.id}, None)

    PaymentIntent.api_retrieve = fetched

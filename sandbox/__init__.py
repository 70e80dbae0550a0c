"""The whole world of the product on one machine. It meets `app` over HTTP only."""

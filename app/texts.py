"""What texts of people may hold, wherever they are taken."""

from marshmallow import validate

KEY = validate.Regexp(r"^[\x20-\x7e]{1,255}\Z", error="Not 1 to 255 ASCII characters.")
USER_ID = validate.Regexp(r"^[\x21-\x7e]{1,255}\Z", error="Not 1 to 255 ASCII characters.")


def plain_text(length_max: int) -> validate.Validator:
    """Take 1 to so many characters that Postgres can keep: all but NUL."""
    return validate.And(
        validate.Length(1, length_max),
        validate.ContainsNoneOf("\0", error="Not a text of a database."),
    )

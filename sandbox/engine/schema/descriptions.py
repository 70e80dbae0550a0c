"""What Hasura says of orderings, of update operators, and of a role that may ask nothing."""

ORDERINGS = {
    "asc": "in ascending order, nulls last",
    "asc_nulls_first": "in ascending order, nulls first",
    "asc_nulls_last": "in ascending order, nulls last",
    "desc": "in descending order, nulls first",
    "desc_nulls_first": "in descending order, nulls first",
    "desc_nulls_last": "in descending order, nulls last",
}
NO_QUERIES = (
    "There are no queries available to the current role. Either there are no sources or remote "
    "schemas configured, or the current role doesn't have the required permissions."
)
UPDATE_OPERATORS = {
    "_set": "sets the columns of the filtered rows to the given values",
    "_inc": "increments the numeric columns with given value of the filtered values",
    "_append": "append existing jsonb value of filtered columns with new jsonb value",
    "_prepend": "prepend existing jsonb value of filtered columns with new jsonb value",
    "_delete_key": "delete key/value pair or string element. key/value pairs are matched based "
    "on their key value",
    "_delete_elem": "delete the array element with specified index (negative integers count "
    "from the end). throws an error if top level container is not an array",
    "_delete_at_path": "delete the field or element with specified path (for JSON arrays, "
    "negative integers count from the end)",
}

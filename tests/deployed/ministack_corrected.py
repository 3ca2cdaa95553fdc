"""Runs MiniStack with a correction for PartiQL. Use the Python environment in which MiniStack is installed.

MiniStack rejects a PartiQL UPDATE or DELETE with an OR anywhere in its condition: "Where clause does not contain a mandatory
equality on all key attributes". DynamoDB requires only equality on the keys, which AND may join with any other condition
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html). DynamoDB local does the same. The
cleanup moves malformed records with such conditions.
"""

from ministack import app
from ministack.services import dynamodb

conjuncts_of = dynamodb._pq_conditions


def without_or(where):
    """The condition without its OR parts, which contain no key."""
    if where is None or where[0] == "or":
        return None
    if where[0] != "and":
        return where
    left, right = without_or(where[1]), without_or(where[2])
    return ("and", left, right) if left and right else left or right


dynamodb._pq_conditions = lambda where: conjuncts_of(without_or(where))

if __name__ == "__main__":
    app.main()

"""MiniStack, corrected where it refuses what DynamoDB takes. Run by the Python that MiniStack is installed for.

It takes no UPDATE and no DELETE of PartiQL whose condition has an OR anywhere beside the keys: "Where clause does not contain a
mandatory equality on all key attributes". DynamoDB asks for the keys alone; what comes beside them, joined by AND, may be any
condition (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html). DynamoDB local does so
too. The cleanup moves malformed records by such conditions.
"""

from ministack import app
from ministack.services import dynamodb

conjuncts_of = dynamodb._pq_conditions


def without_or(where):
    """The condition, less what an OR joins: that names no key."""
    if where is None or where[0] == "or":
        return None
    if where[0] != "and":
        return where
    left, right = without_or(where[1]), without_or(where[2])
    return ("and", left, right) if left and right else left or right


dynamodb._pq_conditions = lambda where: conjuncts_of(without_or(where))

if __name__ == "__main__":
    app.main()

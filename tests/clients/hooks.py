"""What schemathesis is told of a host that was seeded: which identifiers there are, and what nobody but their tenant may see.

`FACTORY_RUNTIME_SEED` names a file that `fuzz.py` writes: `ids` by parameter, `foreign` words, `lets_in`, whether the caller is let in, and a
`number` that decides what is chosen. How often each operation was answered with which status is written to the file that `FACTORY_RUNTIME_SEEN` names.
"""

import collections
import json
import os
import random

import schemathesis
from schemathesis import GenerationMode

SEED = json.load(open(os.environ["FACTORY_RUNTIME_SEED"]))
SEEN = collections.Counter()
# Which of the identifiers is asked for does not follow from hypothesis: it cannot know them.
CHOICE = random.Random(SEED["number"])


def chosen(name, value):
    """An identifier that there is, of those that are called so; or the one that was made up, once in a while."""
    known = SEED["ids"].get(name)
    return CHOICE.choice(known) if known and CHOICE.random() < 0.9 else value


def filled(value):
    """The same, with what it names replaced by what there is."""
    if isinstance(value, dict):
        return {
            name: chosen(name, member) if isinstance(member, str) and name in SEED["ids"] else filled(member)
            for name, member in value.items()
        }
    return [filled(item) for item in value] if isinstance(value, list) else value


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None or meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.path_parameters:
        case.path_parameters = {name: chosen(name, value) for name, value in case.path_parameters.items()}
    if case.query:
        case.query = filled(dict(case.query))
    if isinstance(case.body, dict):
        case.body = filled(case.body)


@schemathesis.hook
def after_call(context, case, response):
    SEEN[f"{case.operation.definition.raw['operationId']} {response.status_code}"] += 1
    with open(os.environ["FACTORY_RUNTIME_SEEN"], "w") as file:
        json.dump(SEEN, file)


@schemathesis.check
def nothing_foreign(context, response, case):
    """No answer has a word that only another tenant planted, unless the request had it."""
    asked = (response.request.url or "") + str(response.request.body or "")
    told = response.text + str(response.headers)
    for word in SEED["foreign"]:
        assert word not in told or word in asked, f"{word} is another tenant's"


@schemathesis.check
def nobody_unknown_is_let_in(context, response, case):
    """Without good credentials every operation answers 401, whatever else is wrong with the request."""
    if SEED["lets_in"]:
        return
    # These tell of the description, which everybody may read.
    is_no_operation = response.status_code == 405 or (
        response.status_code == 404 and "there is no such path" in response.text
    )
    assert is_no_operation or response.status_code == 401, f"{response.status_code} for whoever is not let in"

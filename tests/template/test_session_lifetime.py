"""docs/topics/session-lifetime.md: the presets are values of parameters, and keep the limits of NIST SP 800-63B-4."""

import math
import re

import pytest
from samcli.yamlhelper import yaml_parse
from template import ROOT, read
from test_parameters import is_valid

HOUR = 3600
DAY = 24 * HOUR
# Sections 2.1.3, 2.2.3 and 2.3.3: the overall timeout and the inactivity timeout, in seconds.
NIST = {"AAL1": (30 * DAY, None), "AAL2": (24 * HOUR, HOUR), "AAL3": (12 * HOUR, 15 * 60)}


def document():
    return (ROOT / "docs/topics/session-lifetime.md").read_text()


@pytest.mark.parametrize("level", NIST)
def test_presets_keep_the_limits_of_nist(level):
    overall, idle = NIST[level]
    block = re.search(rf"^{level}:\n\n```yaml\n(.*?)```", document(), re.M | re.S)
    preset = yaml_parse(block[1])
    parameters = read()["Parameters"]
    assert all(is_valid(parameters[name], value) for name, value in preset.items())
    assert 0 < preset["SessionMaxHours"] * HOUR <= overall
    assert idle is None or 0 < preset["SessionIdleMinutes"] * 60 <= idle
    # The maximum may not be longer than the retention.
    assert preset["SessionMaxHours"] <= 24 * int(parameters["SessionRetentionDays"]["Default"])


@pytest.mark.parametrize("level", NIST)
def test_library_presets_keep_the_limits_of_nist(level):
    overall, idle = NIST[level]
    line = re.search(rf"^const {level}: \(i64, i64\) = \(([\d_* ]+), ([\d_* ]+)\);", document(), re.M)
    given_idle, given_overall = [math.prod(int(it) for it in product.split("*")) for product in line.groups()]
    assert 0 < given_idle <= (idle or overall)
    assert 0 < given_overall <= overall

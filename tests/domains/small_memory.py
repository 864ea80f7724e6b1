"""The task of `dagame.domains.asp.solving` with less memory, so that a test need not fill a gigabyte."""

import resource

from dagame.domains.asp import solving


def load():
    answer = solving.load()

    def limited(row):
        resource.setrlimit(resource.RLIMIT_DATA, (100 << 20, -1))
        return answer(row)

    return limited

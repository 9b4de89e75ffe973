"""Questions about the workspace, answered from `cargo metadata` and the manifests themselves.

usage: workspace.py published | examples | features | star | names MANIFEST... | equal-facts FILE FILE
"""

import json
import pathlib
import subprocess
import sys
import tomllib

SIBLINGS = {"iot-identity", "iot-ota", "iot-transport", "iot-twin"}
CORE = "iot-sdk-core"
# Another project owns this name on crates.io; cargo would compile its code in silence.
STRANGER = "iot-core"


def metadata():
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def published(packages):
    return [package for package in packages if package["publish"] != []]


def is_library(package):
    return any("lib" in target["kind"] for target in package["targets"])


def implied(package, feature):
    """Every feature of the package that `feature` turns on, itself included."""
    seen, todo = set(), [feature]
    while todo:
        name = todo.pop()
        if name in package["features"] and name not in seen:
            seen.add(name)
            todo += package["features"][name]
    return seen


def features(packages):
    """Per library: its name, the features that need neither alloc nor std, and those that need no std."""
    for package in published(packages):
        if is_library(package):
            closures = {name: implied(package, name) for name in package["features"]}
            core = [name for name, on in closures.items() if not on & {"alloc", "std"}]
            alloc = [name for name, on in closures.items() if "std" not in on]
            yield package["name"], ",".join(sorted(core)) or "-", ",".join(sorted(alloc)) or "-"


def star(packages):
    """Dependencies of any kind between workspace members that the star does not allow."""
    members = {package["name"] for package in packages}
    allowed = {name: {CORE} for name in SIBLINGS} | {CORE: set(), "iot-twin-derive": set()}
    allowed["iot-twin"] = {CORE, "iot-twin-derive"}
    for package in published(packages):
        for dependency in package["dependencies"]:
            if dependency["name"] in members - allowed.get(package["name"], set()):
                kind = dependency["kind"] or "normal"
                yield f"{package['name']} depends on {dependency['name']} ({kind})"


def tables(manifest):
    """Every dependency table of a manifest, whatever it hangs from."""
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    for holder in [manifest, manifest.get("workspace", {}), *manifest.get("target", {}).values()]:
        for kind in kinds:
            yield holder.get(kind, {})


def names(path):
    manifest = tomllib.loads(pathlib.Path(path).read_text())
    for table in tables(manifest):
        for key, value in table.items():
            inherits = isinstance(value, dict) and value.get("workspace")
            package = value.get("package", key) if isinstance(value, dict) else key
            if package == STRANGER and not inherits:
                yield f"{path}: the dependency `{key}` is the stranger's package `{STRANGER}`"


def last_object(path):
    lines = pathlib.Path(path).read_text().strip().splitlines()
    return json.loads(lines[-1]) if lines else {}


def complain(found):
    found = list(found)
    for line in found:
        print("error:", line, file=sys.stderr)
    return 1 if found else 0


def main(question, *rest):
    if question == "names":
        if not rest:
            return complain(["no manifest to look at"])
        return complain(line for path in rest for line in names(path))
    if question == "equal-facts":
        first, second = (last_object(path).get("facts") for path in rest)
        if not first or first != second:
            return complain([f"the facts differ or are missing: {first} and {second}"])
        print(f"{len(first)} facts are equal in both runs")
        return 0
    packages = metadata()["packages"]
    if question == "published":
        print(*(package["name"] for package in published(packages)), sep="\n")
    elif question == "examples":
        print(*sorted(target["name"] for package in packages for target in package["targets"] if "example" in target["kind"]), sep="\n")
    elif question == "features":
        for line in features(packages):
            print(*line)
    elif question == "star":
        return complain(star(packages))
    else:
        return complain([f"unknown question `{question}`"])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

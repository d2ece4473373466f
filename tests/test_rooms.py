"""The packages and their rooms: who imports whom, and through which door."""

import importlib
from graphlib import TopologicalSorter

import pytest

grimp = pytest.importorskip("grimp")

PACKAGES = ("pipelines", "afn_keras", "exports")


def build():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    # `python -m afn_keras` is a command.
    graph.remove_module("afn_keras.__main__")
    return graph


def rooms(graph):
    """Folders and single files right below the three packages."""
    return {room for top in PACKAGES for room in graph.find_children(top)}


def room_of(module):
    return ".".join(module.split(".")[:2])


def imports(graph):
    return [
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    ]


def test_data_flow_from_pipelines_to_exports():
    """Only the commands stand on all three."""
    allowed = {
        "pipelines": {"pipelines"},
        "afn_keras": {"pipelines", "afn_keras"},
        "exports": set(PACKAGES),
    }
    against = [
        (importer, imported)
        for importer, imported in imports(build())
        if room_of(importer) != "afn_keras.commands"
        and (
            imported.split(".")[0] not in allowed[importer.split(".")[0]]
            or room_of(imported) == "afn_keras.commands"
        )
    ]
    assert not against


def test_rooms_have_no_circle():
    graph = build()
    for room in rooms(graph):
        if graph.find_children(room):
            graph.squash_module(room)
    names = rooms(graph)
    order = TopologicalSorter(
        {
            room: graph.find_modules_directly_imported_by(room) & names
            for room in names
        }
    )
    # Raises CycleError, which names the circle.
    order.prepare()
    assert {"pipelines.readers", "afn_keras.training"} <= names


def test_rooms_are_entered_by_their_doors():
    """`from pipelines.images import ImageStore`, not `.images.store`."""
    graph = build()
    inside = [
        (importer, imported)
        for importer, imported in imports(graph)
        if imported.count(".") > 1 and room_of(importer) != room_of(imported)
    ]
    assert not inside


def test_what_doors_offer_is_there():
    graph = build()
    doors = [
        *PACKAGES,
        *(room for room in rooms(graph) if graph.find_children(room)),
    ]
    for door in doors:
        package = importlib.import_module(door)
        missing = [
            name
            for name in getattr(package, "__all__", [])
            if not hasattr(package, name)
        ]
        assert not missing, door

"""A small pipeline under hard conditions, first with coord and then with naive code: ``make demo``.

Producers enqueue updates of documents. Workers receive them out of order and more than once, and some of them are
killed half-way. ``load`` describes the updates and faults, ``environment`` is the queue and the store,
``coordinated`` and ``naive`` are the two pipelines, ``crew`` runs one in threads or processes, ``screen`` shows it.
"""

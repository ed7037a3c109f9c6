"""A small pipeline under hard conditions, first with coord and then with naive code: ``make demo``.

Producers enqueue updates of documents. Workers receive them out of order and more than once, and some of them are
killed half-way. ``load`` is what happens, ``world`` the queue and the store, ``coordinated`` and ``naive`` the two
pipelines, ``crew`` runs one of them in threads or processes, and ``screen`` shows it.
"""

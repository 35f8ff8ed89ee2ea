# Documented in cidx_report.yml; the work is done by the action plugin and cidx-helper.

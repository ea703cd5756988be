"""The Helm chart, and what makes and checks it.

configs/, detector/config.py --copies--> detector/ (the chart) --tool's Helm--> Kubernetes objects
"""

# The program with all it needs, for machines with GPUs: docker build -t silhouette-curate .
# How to run it stands in docs/training.md.
FROM python:3.11-slim-bookworm

# FiftyOne's database is linked against libcurl, and `train fit --compile` calls a C++ compiler.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libcurl4 \
 && rm -rf /var/lib/apt/lists/*

# The packages, 6 GB, are a layer of their own: a change of the program does not fetch them again.
# Further extras: docker build --build-arg EXTRAS=s3,ray
ARG EXTRAS=s3
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN python -c 'import sys, tomllib; told = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*told["dependencies"], *(one for name in sys.argv[1].split(",") if name for one in told["optional-dependencies"][name]), sep="\n")' "$EXTRAS" > needed.txt \
 && pip install --no-cache-dir --root-user-action ignore -c constraints.txt -r needed.txt hatchling
COPY . .
RUN pip install --no-cache-dir --root-user-action ignore --no-deps --no-build-isolation . \
 && curate doctor --fix

# Anybody may run it (docker run --user): home is everybody's, and torch asks for a name.
RUN useradd --create-home curate && chmod 777 /home/curate
ENV HOME=/home/curate USER=curate FIFTYONE_DO_NOT_TRACK=1
USER curate

# What is read and written lies in /work; database, caches and downloaded weights in the home.
WORKDIR /work
VOLUME ["/work", "/home/curate"]
# The App listens on 127.0.0.1:5151 alone: --network host shows it to the machine.
ENTRYPOINT ["curate"]
CMD ["--help"]

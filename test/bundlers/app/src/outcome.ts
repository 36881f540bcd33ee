/** What the app tells the test. */
export interface Outcome {
  readonly isolated: boolean;
  readonly device: string;
  readonly adapter: string;
  readonly losses: readonly number[];
  readonly said: string;
  readonly width: number;
  readonly compiled: readonly number[];
  readonly diagnostic: string;
}

export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly fix: string | null;
}
